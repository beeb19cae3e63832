//! Uploads an image: `cargo run --example upload -- custom/my-image my-image.tgz`. Run it again after it broke, and it
//! goes on where it was.

use maas_client::{Client, UploadImage};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = Client::builder(&std::env::var("MAAS_ENDPOINT")?, &std::env::var("MAAS_API_KEY")?)?.build()?;
    let mut arguments = std::env::args().skip(1);
    let (Some(name), Some(path)) = (arguments.next(), arguments.next()) else {
        return Err("which name, which file?".into());
    };
    let image = UploadImage {
        name,
        architecture: "amd64/generic".into(),
        base_image: Some("ubuntu/noble".into()),
        ..Default::default()
    };
    let mut file = tokio::fs::File::open(path).await?;
    let made = client
        .boot_resources()
        .upload(&image, &mut file, |done, all| println!("{:3} %", 100 * done / all.max(1)))
        .await?;
    println!("deploy it as {}", made.distro_series());
    Ok(())
}
