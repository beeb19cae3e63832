//! Boot images, and which of them a deployment takes (reference §2.9).

use serde_json::{Value, json};

use crate::form::Params;
use crate::region::Region;
use crate::reply::{Answer, FieldErrors, Reply};
use crate::route::Call;
use crate::state::{Image, Machine, Upload};

impl Region {
    pub(crate) fn answer_images(&mut self, call: &Call) -> Answer {
        if call.method() != "GET" {
            call.admin_or(if call.is_single() { Reply::forbidden() } else { Reply::admins_only() })?;
        }
        match (call.resource(), call.method(), call.op()) {
            ("boot-resource-upload", ..) => return self.upload_chunk(call),
            ("boot-resources", "POST", "import") => return Ok(Reply::text(200, "Import of boot resources started")),
            ("boot-resources", "POST", "stop_import") => {
                return Ok(Reply::text(200, "Import of boot resources is being stopped"));
            }
            ("boot-resources", "POST", _) => return self.create_image(call),
            ("boot-resource", "DELETE", _) => {
                let known = self.images.len();
                self.images.retain(|i| i.id.to_string() != call.key);
                // Their handler trips over what is not there.
                return if known == self.images.len() {
                    Err(Reply::text(500, "BootResource matching query does not exist."))
                } else {
                    Ok(Reply::no_content())
                };
            }
            _ => {}
        }
        if call.is_single() {
            let image = self
                .images
                .iter()
                .find(|i| i.id.to_string() == call.key)
                .ok_or_else(|| Reply::missing("BootResource"))?;
            let mut shown = image_json(image);
            shown["sets"] = sets_json(image);
            return Ok(Reply::json(&shown));
        }
        if call.op() == "is_importing" {
            return Ok(Reply::json(&json!(false)));
        }
        let uploaded = match call.query.last("type") {
            None | Some("") => None,
            Some("synced") => Some(false),
            Some("uploaded") => Some(true),
            Some(other) => {
                return Err(Reply::text(
                    400,
                    format!("'{other}' is not a valid boot resource type. Available types: ['synced', 'uploaded']"),
                ));
            }
        };
        let mut rows: Vec<&Image> = self.images.iter().filter(|i| uploaded.is_none_or(|u| u == i.uploaded)).collect();
        rows.sort_by_key(|i| (i.uploaded, &i.release, i.id));
        Ok(Reply::list(rows.into_iter().map(image_json).collect()))
    }

    /// An image that a person uploads: its row, and the address that its bytes go to.
    fn create_image(&mut self, call: &Call) -> Answer {
        let data = &call.form.data;
        let text = |key: &str| data.last(key).unwrap_or("").to_owned();
        let mut errors = FieldErrors::default();
        for field in ["name", "architecture", "sha256", "size"] {
            if text(field).is_empty() {
                errors.add(field, "This field is required.");
            }
        }
        errors.check()?;
        let size = text("size").parse().map_err(|_| Reply::invalid("size", "Enter a whole number."))?;
        let architecture = text("architecture").split('/').next().unwrap_or("").to_owned();
        let (name, title) = (text("name"), text("title"));
        let release = if name.contains('/') { name } else { format!("custom/{name}") };
        // A new version takes the place of the old one.
        self.images.retain(|i| !(i.uploaded && i.release == release && i.architecture == architecture));
        let id = self.next_id("image");
        let upload = Some(Upload { size, received: 0, sha256: text("sha256") });
        let (uploaded, alias, kernel) = (true, None, None);
        self.images.push(Image { id, uploaded, release, alias, architecture, kernel, title, upload });
        let Some(image) = self.images.last() else { return Ok(Reply::null()) };
        let mut shown = image_json(image);
        shown["sets"] = sets_json(image);
        Ok(Reply::json_status(201, &shown))
    }

    /// Chunks come in order; the image can be deployed when all of it is there.
    fn upload_chunk(&mut self, call: &Call) -> Answer {
        let length = call.body.len() as u64;
        let image = self.images.iter_mut().find(|i| i.id.to_string() == call.key && call.rest == call.key);
        let upload = image.and_then(|i| i.upload.as_mut()).ok_or_else(|| Reply::missing("BootResourceFile"))?;
        if length == 0 {
            return Err(Reply::text(400, "Missing Content-Length header or empty content."));
        }
        if upload.received + length > upload.size {
            return Err(Reply::text(400, "Too much data received."));
        }
        upload.received += length;
        Ok(Reply::text(200, "OK"))
    }

    /// Operating system, series and kernel of a deployment.
    pub(crate) fn choose_image(&self, machine: &Machine, post: &Params) -> Result<(String, String, String), Reply> {
        let wanted = post.last("distro_series").unwrap_or("");
        let series_of = |i: &Image| i.release.split_once('/').map(|(_, s)| s.to_owned()).unwrap_or_default();
        let os_of = |i: &Image| i.release.split('/').next().unwrap_or("").to_owned();
        let alias = |i: &Image| {
            self.is_at_least(3, 6)
                && i.alias.as_deref().is_some_and(|a| a == wanted || format!("{}/{a}", os_of(i)) == wanted)
        };
        let whole = |i: &Image| i.upload.as_ref().is_none_or(|u| u.received == u.size);
        let is = |i: &&Image| {
            whole(i)
                && match wanted {
                    "" => !i.uploaded,
                    _ => i.release == wanted || series_of(i) == wanted || alias(i) || os_of(i) == wanted,
                }
        };
        let Some(image) = self.images.iter().find(is) else {
            let mut known: Vec<String> = self.images.iter().map(|i| format!("'{}'", i.release)).collect();
            known.sort();
            known.dedup();
            known.insert(0, "''".to_owned());
            return Err(Reply::invalid(
                "distro_series",
                format!("'{wanted}' is not a valid distro_series.  It should be one of: {}.", known.join(", ")),
            ));
        };
        let main = machine.architecture.split('/').next().unwrap_or("");
        let fitting: Vec<&Image> =
            self.images.iter().filter(|i| i.release == image.release && i.architecture == main).collect();
        if fitting.is_empty() {
            return Err(Reply::text(400, format!("Missing boot image {}/{}.", image.release, machine.architecture)));
        }
        let kernels: Vec<&str> = fitting.iter().filter_map(|i| i.kernel.as_deref()).collect();
        // Other operating systems are installed by the commissioning release's kernel.
        let commissioning = self.images.iter().find_map(|i| i.kernel.clone()).unwrap_or_default();
        let default = kernels.first().map_or(commissioning, |k| (*k).to_owned());
        let kernel = match post.last("hwe_kernel") {
            Some(kernel) if kernel.starts_with("ga-") || kernel.starts_with("hwe-") => {
                if !kernels.contains(&kernel) {
                    let text = format!("{kernel} is not available for {} on {}.", image.release, machine.architecture);
                    return Err(Reply::invalid("hwe_kernel", text));
                }
                kernel.to_owned()
            }
            _ => default,
        };
        Ok((os_of(image), series_of(image), kernel))
    }
}

/// Versions of an image with their files.
fn sets_json(image: &Image) -> Value {
    let kinds = if image.uploaded { &["root-tgz"][..] } else { &["boot-initrd", "boot-kernel", "squashfs"] };
    let mut files = serde_json::Map::new();
    for kind in kinds {
        let sha = format!("{:064x}", u128::from(image.id) << 64 | kind.len() as u128);
        let on_disk = &sha[..7];
        files.insert(
            (*kind).to_owned(),
            json!({"filename": kind, "filetype": kind, "sha256": sha, "filename_on_disk": on_disk, "size": 512, "complete": true}),
        );
    }
    if let Some(upload) = &image.upload {
        let (id, complete) = (image.id, upload.received == upload.size);
        let mut file = json!({"filename": "root-tgz", "filetype": "root-tgz", "sha256": upload.sha256, "filename_on_disk": "root", "size": upload.size, "complete": complete});
        if !complete {
            file["progress"] = json!(upload.received * 100 / upload.size.max(1));
            file["upload_uri"] = json!(format!("/MAAS/api/2.0/boot-resources/{id}/upload/{id}/"));
        }
        return json!({"20260801": {"version": "20260801", "label": "uploaded", "size": upload.size, "complete": complete, "files": {"root-tgz": file}}});
    }
    let label = if image.uploaded { "uploaded" } else { "stable" };
    json!({"20260801": {"version": "20260801", "label": label, "size": 512 * kinds.len(), "complete": true, "files": files}})
}

fn image_json(image: &Image) -> Value {
    let name =
        if image.uploaded { image.release.strip_prefix("custom/").unwrap_or(&image.release) } else { &image.release };
    let sub = image.kernel.as_deref().unwrap_or("generic");
    let mut shown = json!({
        "id": image.id, "type": if image.uploaded { "Uploaded" } else { "Synced" }, "name": name, "architecture": format!("{}/{sub}", image.architecture),
        "resource_uri": format!("/MAAS/api/2.0/boot-resources/{}/", image.id), "last_deployed": null, "title": image.title, "platform": "generic",
        "supported_platforms": "generic",
    });
    if image.uploaded {
        shown["base_image"] = json!("ubuntu/noble");
    } else {
        shown["subarches"] = json!(format!("generic,{sub}"));
    }
    shown
}
