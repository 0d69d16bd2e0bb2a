//! Runs a command of the shell for an event.

use std::{process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process_group};
use switchboard_client::bus::{DATA_BYTES_MAX, Event};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, Command},
    time,
};

/// Runs a command with the event's data on its standard input, and gives what it wrote to its
/// standard output; the topic and type are in its environment. Killed after `limit`, and when this
/// is dropped, with all that it has started.
///
/// # Errors
///
/// Why there is none: it could not be run, ended with another code than 0, took or wrote too much.
pub(super) async fn run(command: &str, event: &Event, limit: Duration) -> Result<Vec<u8>, String> {
    let mut child = Command::new("sh")
        .args(["-c", command])
        .env("SWITCHBOARD_EVENT_TOPIC", &event.topic)
        .env("SWITCHBOARD_EVENT_TYPE", &event.kind)
        .env("SWITCHBOARD_EVENT_SEQUENCE", event.sequence.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|error| format!("the command can't be run: {error}"))?;
    let mut group = Group::of(&child);
    let (input, output) = (child.stdin.take(), child.stdout.take());
    let write = async {
        if let Some(mut input) = input {
            // A command need not read what it is given.
            let _ = input.write_all(&event.data).await;
        }
    };
    let read = async {
        let mut bytes = Vec::new();
        if let Some(output) = output {
            output.take(DATA_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).await?;
        }
        Ok(bytes)
    };
    let done = async {
        let ((), bytes) = tokio::join!(write, read);
        let bytes = bytes.map_err(|error: std::io::Error| error.to_string())?;
        if DATA_BYTES_MAX < bytes.len() {
            return Err(format!("the command wrote more than {DATA_BYTES_MAX} bytes"));
        }
        let status = child.wait().await.map_err(|error| error.to_string())?;
        group.0 = None;
        if status.success() { Ok(bytes) } else { Err(format!("the command ended with {status}")) }
    };
    time::timeout(limit, done)
        .await
        .unwrap_or_else(|_| Err(format!("the command took longer than {limit:?}")))
}

/// The processes of a command, which are killed when this is dropped.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It may be gone already.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::test_kill_process_group;

    use super::*;

    #[tokio::test]
    async fn what_a_command_writes_is_given() {
        let mut event = Event::from(switchboard_proto::v1::Event::default());
        event.data = vec![b'x'; DATA_BYTES_MAX];
        (event.topic, event.kind) = ("a.b".to_owned(), "c".to_owned());
        let limit = Duration::from_secs(30);
        assert_eq!(run("cat", &event, limit).await, Ok(event.data.clone()));
        let told = "echo $SWITCHBOARD_EVENT_TOPIC $SWITCHBOARD_EVENT_TYPE";
        assert_eq!(run(told, &event, limit).await, Ok(b"a.b c\n".to_vec()));
        for (command, says) in [
            ("exit 3", "exit status: 3"),
            ("cat; cat /dev/zero", "more than 1048576 bytes"),
            ("kill -9 $$", "signal: 9"),
        ] {
            let error = run(command, &event, limit).await.unwrap_err();
            assert!(error.contains(says), "{command}: {error}");
        }
    }

    #[tokio::test]
    async fn one_that_takes_too_long_is_killed_with_all_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let command = format!("echo $$ > {}; sleep 1000 & sleep 1000; true", file.display());
        let event = Event::from(switchboard_proto::v1::Event::default());
        let (limit, started) = (Duration::from_millis(500), Duration::from_secs(30));
        let slow = run(&command, &event, limit).await.unwrap_err();
        assert!(slow.contains("longer than 500ms"), "{slow}");
        let group = std::fs::read_to_string(file).unwrap().trim().parse().unwrap();
        let gone = async {
            while test_kill_process_group(Pid::from_raw(group).unwrap()).is_ok() {
                time::sleep(Duration::from_millis(5)).await;
            }
        };
        time::timeout(started, gone).await.expect("it is killed");
    }
}
