//! Images: `boot-resources/` (fact sheet §2.9), and the upload of one in chunks.

use std::collections::BTreeMap;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncSeek, AsyncSeekExt as _};

use crate::call::Call;
use crate::define::{reply, request, service, words};
use crate::error::{Disposition, Error, ErrorKind};
use crate::form::Form;
use crate::ids::{BootFileId, BootResourceId};
use crate::operation;

/// What MAAS's documentation advises; its nginx refuses bodies above 10 MiB. Small in tests, which hash
/// without optimisation.
const CHUNK: usize = if cfg!(test) { 4 * 1024 } else { 4 * 1024 * 1024 };

/// Chunks in a row that may fail before the upload is given up.
const PATIENCE: u32 = 5;

service! {
    /// Images: `boot-resources/`. With feature `mock` there is `MockBootResources`; the upload is a method
    /// of [`BootResourcesClient`].
    BootResources by BootResourcesClient;

    /// `GET boot-resources/`: one row per image, architecture and kernel flavour, boot loaders included.
    fn list() -> Vec<BootResource> = BOOT_RESOURCES_LIST;

    /// `GET boot-resources/?type=…`: only synced or only uploaded ones.
    fn list_of(&kind: ImageKind) -> Vec<BootResource> = BOOT_RESOURCES_LIST, kind_form(kind);

    /// `GET boot-resources/{id}/`: with its versions and their files.
    fn read(id: BootResourceId) -> BootResource = BOOT_RESOURCE_READ [id];

    /// `DELETE boot-resources/{id}/` (admin). An unknown one is `Server`.
    fn delete(id: BootResourceId) -> () = BOOT_RESOURCE_DELETE [id];

    /// `POST boot-resources/?op=import` (admin): begins to fetch images; MAAS answers in words.
    fn import() -> String = BOOT_RESOURCES_IMPORT;

    /// `POST boot-resources/?op=stop_import` (admin); MAAS answers in words.
    fn stop_import() -> String = BOOT_RESOURCES_STOP_IMPORT;

    /// `GET boot-resources/?op=is_importing`.
    fn is_importing() -> bool = BOOT_RESOURCES_IS_IMPORTING;
}

words! {
    /// Where an image came from.
    ImageKind {
        /// From an image stream.
        Synced = "synced",
        /// From a person.
        Uploaded = "uploaded",
    }
}

fn kind_form(kind: &ImageKind) -> Form {
    let mut form = Form::default();
    form.push("type", kind.as_str());
    form
}

reply! {
    /// An image row.
    BootResource {
        /// Number.
        id: BootResourceId,
        /// `Synced` or `Uploaded`; `type` on the wire.
        #[serde(rename = "type")]
        kind: String,
        /// `os/series`; a name without `/` is deployed as `custom/NAME`.
        name: String,
        /// Architecture and kernel flavour, e.g. `amd64/ga-24.04`.
        architecture: String,
        /// Title for people.
        title: String,
        /// For uploaded images: the Ubuntu they were made from, `os/series`.
        base_image: String,
        /// Comma separated kernel flavours and sub-architectures.
        subarches: String,
        /// When a machine got it last, as MAAS prints it.
        last_deployed: Option<String>,
        /// Versions by name, which sorts by age; empty in lists.
        sets: BTreeMap<String, ImageVersion>,
    }

    /// One version of an image.
    ImageVersion {
        /// Name, e.g. `20260801`.
        version: String,
        /// `stable`, `daily`, `uploaded`.
        label: String,
        /// Bytes of all files.
        size: u64,
        /// MAAS has all of it.
        complete: bool,
        /// Share MAAS has, 0 to 100; only while incomplete.
        progress: Option<f64>,
        /// Files by name.
        files: BTreeMap<String, ImageFile>,
    }

    /// One file of an image.
    ImageFile {
        /// Name.
        filename: String,
        /// e.g. `squashfs`, `boot-kernel`, `root-tgz`.
        filetype: String,
        /// SHA-256 of the content in hexadecimal.
        sha256: String,
        /// Bytes.
        size: u64,
        /// MAAS has all of it.
        complete: bool,
        /// Share MAAS has, 0 to 100; only while incomplete.
        progress: Option<f64>,
        /// Where the rest goes. Never followed, since proxies make it wrong; the number in it is used.
        upload_uri: Option<String>,
    }
}

impl BootResource {
    /// What to write into `distro_series` to deploy it.
    pub fn distro_series(&self) -> String {
        if self.name.contains('/') { self.name.clone() } else { format!("custom/{}", self.name) }
    }
}

impl ImageFile {
    /// The number chunks are sent to; none once the file is complete.
    pub fn upload_id(&self) -> Option<BootFileId> {
        self.upload_uri.as_deref()?.trim_end_matches('/').rsplit('/').next()?.parse().ok()
    }

    /// How many bytes MAAS has.
    fn stored(&self, size: u64) -> u64 {
        match self.progress {
            _ if self.complete => size,
            // MAAS tells a share; a double is exact enough to get the byte back
            Some(percent) if percent > 0.0 => ((percent / 100.0 * size as f64).round() as u64).min(size),
            _ => 0,
        }
    }
}

request! {
    /// What an uploaded image is called and for.
    UploadImage {
        /// `custom/NAME`, or `os/series` to replace a synced one.
        name: String,
        /// e.g. `amd64/generic`.
        architecture: String,
        /// Title for people.
        title: Option<String>,
        /// `tgz` (the default), `tbz`, `txz`, `ddtgz`, `ddtbz`, `ddtxz`, `ddtar`, `ddbz2`, `ddgz`, `ddxz` or
        /// `ddraw`.
        file_type: Option<String> as "filetype",
        /// Ubuntu it was made from, `os/series`; MAAS needs it for a custom image.
        base_image: Option<String>,
    }
}

/// Why an upload ended early. What MAAS has by then stays there: the same upload again goes on from it.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// MAAS.
    #[error(transparent)]
    Maas(#[from] Error),
    /// The file.
    #[error("can't read the image: {0}")]
    Read(#[from] std::io::Error),
    /// The file is shorter or longer than it was.
    #[error("the image changed while it was uploaded")]
    Changed,
    /// MAAS's answer does not say where the content goes.
    #[error("MAAS does not say where the content of {0} goes")]
    NoPlace(BootResourceId),
}

impl UploadError {
    /// What it is, in the terms of calls; none for trouble with the file.
    pub fn kind(&self) -> Option<ErrorKind> {
        match self {
            Self::Maas(error) => Some(error.kind()),
            Self::NoPlace(_) => Some(ErrorKind::Decode),
            Self::Read(_) | Self::Changed => None,
        }
    }
}

/// SHA-256 in hexadecimal, and the size.
async fn digest(source: &mut (impl AsyncRead + AsyncSeek + Unpin + Send)) -> std::io::Result<(String, u64)> {
    source.rewind().await?;
    let (mut hash, mut size, mut buffer) = (Sha256::new(), 0, vec![0; 256 * 1024]);
    loop {
        let read = source.read(&mut buffer).await?;
        if read == 0 {
            break;
        }
        hash.update(&buffer[..read]);
        size += read as u64;
    }
    Ok((hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect(), size))
}

impl BootResourcesClient {
    /// Uploads an image (admin): `POST boot-resources/`, then chunks of 4 MiB by
    /// `PUT boot-resources/{id}/upload/{file}/`.
    ///
    /// The source is read twice, first for its SHA-256, which MAAS checks at the end (`Validation` when it
    /// does not fit). `progress` hears how many of how many bytes MAAS has. A chunk that fails is followed by
    /// the question how far MAAS got, and the upload goes on from there; so does a second call after a
    /// broken one, and an image whose content MAAS has already costs no upload at all.
    ///
    /// ```no_run
    /// # async fn example(client: &maas_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let image = maas_client::UploadImage {
    ///     name: "custom/k8s-1.34".into(),
    ///     architecture: "amd64/generic".into(),
    ///     base_image: Some("ubuntu/noble".into()),
    ///     ..Default::default()
    /// };
    /// let mut file = tokio::fs::File::open("k8s-1.34.tgz").await?;
    /// let made = client.boot_resources().upload(&image, &mut file, |done, all| eprintln!("{done} of {all}")).await?;
    /// println!("deploy it as {}", made.distro_series());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn upload(
        &self,
        image: &UploadImage,
        source: &mut (impl AsyncRead + AsyncSeek + Unpin + Send),
        mut progress: impl FnMut(u64, u64) + Send,
    ) -> Result<BootResource, UploadError> {
        let (sha256, size) = digest(source).await?;
        let mut form = image.form();
        form.push("sha256", sha256.as_str());
        form.push("size", size.to_string());
        let mut made: BootResource = self.0.json(Call::new(&operation::BOOT_RESOURCES_CREATE).form(form)).await?;
        let id = made.id;
        let mut failures = 0;
        loop {
            let file = newest(&made, &sha256).ok_or(UploadError::NoPlace(id))?;
            let mut stored = file.stored(size);
            progress(stored, size);
            if file.complete || (stored == size && failures == 0) {
                return Ok(made);
            }
            let place = file.upload_id().ok_or(UploadError::NoPlace(id))?;
            source.seek(std::io::SeekFrom::Start(stored)).await?;
            let fault = loop {
                if stored == size {
                    break None;
                }
                let chunk = chunk(source, size - stored).await?;
                let length = chunk.len() as u64;
                let call = Call::new(&operation::BOOT_RESOURCE_UPLOAD).id(id).id(place).raw(chunk);
                if let Err(error) = self.0.done(call).await {
                    break Some(error);
                }
                (stored, failures) = (stored + length, 0);
                progress(stored, size);
            };
            match fault {
                None => return Ok(self.read(id).await?),
                Some(error) if error.disposition() == Disposition::Transient && failures < PATIENCE => {
                    failures += 1;
                    tracing::debug!(%id, stored, failures, "asking how far the upload got");
                    made = self.read(id).await?;
                }
                Some(error) => return Err(error.into()),
            }
        }
    }
}

/// The file with this content in the newest version that has it.
fn newest<'a>(image: &'a BootResource, sha256: &str) -> Option<&'a ImageFile> {
    let mut files = image.sets.values().rev().flat_map(|version| version.files.values());
    files.find(|file| file.sha256 == sha256)
}

async fn chunk(source: &mut (impl AsyncRead + Unpin + Send), left: u64) -> Result<Bytes, UploadError> {
    let mut chunk = vec![0; usize::try_from(left).unwrap_or(CHUNK).min(CHUNK)];
    match source.read_exact(&mut chunk).await {
        Ok(_) => Ok(chunk.into()),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Err(UploadError::Changed),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;
