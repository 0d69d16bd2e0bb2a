//! Records the keys that it is given, on a node at the default address.
#![expect(clippy::print_stdout, reason = "an example")]

use switchboard_client::{Client, Error};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let client = Client::new("http://127.0.0.1:7400")?;
    for key in std::env::args().skip(1) {
        let receipt = client.ingest(&key).await?;
        println!("{} {} {key}", receipt.id, if receipt.new { "new" } else { "known" });
    }
    Ok(())
}
