//! The machine's own `fdatasync`.

use std::{
    fs::File,
    os::unix::fs::FileExt as _,
    time::{Duration, Instant},
};

use switchboard_peers::Error;

/// How long it takes to overwrite 4 KiB of a file and sync it, again and again for some time, with
/// a pause from one to the next, sorted.
pub(crate) fn syncs(length: Duration, pause: Duration) -> Result<Vec<Duration>, Error> {
    let folder = tempfile::tempdir_in("/var/tmp")?;
    let file =
        File::options().create(true).write(true).truncate(true).open(folder.path().join("f"))?;
    let (block, blocks) = ([7_u8; 4_096], 4_096);
    file.write_all_at(&vec![0; blocks * block.len()], 0)?;
    file.sync_all()?;
    let end = Instant::now() + length;
    let (mut took, mut place) = (Vec::new(), 0);
    while Instant::now() < end {
        let began = Instant::now();
        file.write_all_at(&block, (place % blocks * block.len()) as u64)?;
        file.sync_data()?;
        took.push(began.elapsed());
        std::thread::sleep(pause);
        place += 1;
    }
    took.sort_unstable();
    Ok(took)
}
