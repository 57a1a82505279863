//! A worker that misbehaves in the way that the payload of its unit names. Tests start it in the place of a real one.

#![expect(clippy::unwrap_used, clippy::print_stderr, clippy::panic, reason = "a test program")]

mod floods;

use std::{
    io::{self, Read, Write},
    os::{fd::AsFd, unix::net::UnixStream},
    process::{Command, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

use ckworker::process::guard;
use signal_hook::consts::SIGTERM;
use worker_proto::{
    Activity, Counts, EdgeList, Event, Failure, FailureKind, FromWorker, JobKind, Level, Node, Outcome,
    PROTOCOL_VERSION, QuietUnit, ToWorker, Wait, WaitOn, decode_to_worker, encode_from_worker,
};

fn main() {
    let mut puppet =
        Puppet { frames: UnixStream::from(io::stdin().as_fd().try_clone_to_owned().unwrap()), memory_limit: 0 };
    let ToWorker::Hello { memory_limit, .. } = puppet.hear() else { panic!("no greeting") };
    puppet.memory_limit = memory_limit;
    let ToWorker::Job(job) = puppet.hear() else { panic!("no job") };
    let (index, unit) = match job.kind {
        JobKind::Unit { index, unit } => (index, unit),
        JobKind::Operate { unit } => puppet.operate(&unit.payload),
        other => panic!("not a unit: {other:?}"),
    };
    match unit.payload.as_str() {
        "mute" => sleep(),
        // Before it greets, so that no TERM comes earlier.
        behaviour @ ("ignore-term" | "ignore-term-but-not-cancel") => {
            signal_hook::flag::register(SIGTERM, Arc::default()).unwrap();
            puppet.greeted(behaviour, index);
        }
        "garbage" => puppet.raw(b"GET / HTTP/1.1\r\n\r\nand more of this kind"),
        "huge-frame" => puppet.raw(&u32::MAX.to_le_bytes()),
        "other-version" => puppet.raw(&framed(&[0_u32.to_le_bytes(), (PROTOCOL_VERSION + 1).to_le_bytes()].concat())),
        "exit-at-once" => std::process::exit(3),
        behaviour => puppet.greeted(behaviour, index),
    }
    sleep();
}

/// Far longer than any test waits.
fn sleep() -> ! {
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}

fn framed(body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len()).unwrap().to_le_bytes(), body].concat()
}

fn node(id: u8, kind: &str) -> Node {
    let line = format!(r#"{{"id":"{id}","reported":{{"kind":"{kind}"}}}}"#);
    let line = serde_bytes::ByteBuf::from(line.into_bytes());
    Node { id: [id; 16], kind: kind.into(), resource: "a".into(), line }
}

/// A unit that waits for a call.
fn quiet(unit: u32, quiet_ms: u64) -> Activity {
    let waits = vec![Wait { on: WaitOn::Call, what: "ec2 DescribeVolumes in us-east-1".into(), for_ms: quiet_ms }];
    Activity { quiet: vec![QuietUnit { unit, quiet_ms, open: 1, waits }], ..Activity::default() }
}

struct Puppet {
    frames: UnixStream,
    memory_limit: u64,
}

impl Puppet {
    fn raw(&mut self, bytes: &[u8]) {
        // Being cut off is part of most plays.
        let _ = self.frames.write_all(bytes);
    }

    fn say(&mut self, message: &FromWorker) {
        let body = encode_from_worker(message).unwrap();
        self.raw(&framed(&body));
    }

    /// Sends the same sign of life until it is ended.
    fn report(&mut self, activity: Activity) -> ! {
        loop {
            self.say(&FromWorker::Alive(activity.clone()));
            thread::sleep(Duration::from_millis(100));
        }
    }

    fn hear(&mut self) -> ToWorker {
        let mut length = [0; 4];
        self.frames.read_exact(&mut length).unwrap();
        let mut body = vec![0; u32::from_le_bytes(length) as usize];
        self.frames.read_exact(&mut body).unwrap();
        decode_to_worker(&body).unwrap()
    }

    /// A worker that is to carry out operations.
    fn operate(&mut self, behaviour: &str) -> ! {
        self.say(&FromWorker::Ready { version: PROTOCOL_VERSION });
        loop {
            match self.hear() {
                ToWorker::Operate(operation) => self.operation(behaviour, operation.id),
                ToWorker::Finish => {
                    self.say(&FromWorker::Done);
                    std::process::exit(0);
                }
                ToWorker::Cancel => std::process::exit(0),
                other => panic!("no operation: {other:?}"),
            }
        }
    }

    fn operation(&mut self, behaviour: &str, id: u64) {
        let done = FromWorker::Operated { id, outcome: Outcome::Done };
        match behaviour.split_once(':').unwrap_or((behaviour, "")) {
            ("well", _) => self.say(&done),
            ("deny", _) => {
                let failure = Failure { kind: FailureKind::Credentials, message: "role denied".into() };
                self.say(&FromWorker::Operated { id, outcome: Outcome::Failed(failure) });
            }
            ("die-once", marker) if std::path::Path::new(marker).exists() => self.say(&done),
            ("die-once", marker) => {
                std::fs::write(marker, "").unwrap();
                self.act("die", 0);
            }
            ("foreign-answer", _) => self.say(&FromWorker::Operated { id: id + 1, outcome: Outcome::Done }),
            ("garbage", _) => self.raw(b"GET / HTTP/1.1\r\n\r\nand more of this kind"),
            ("collects", _) => self.say(&FromWorker::UnitStarted { unit: 0 }),
            (other, _) => self.act(other, 0),
        }
    }

    fn greeted(&mut self, behaviour: &str, unit: u32) {
        self.say(&FromWorker::Ready { version: PROTOCOL_VERSION });
        self.say(&FromWorker::UnitStarted { unit });
        let nodes = vec![node(1, "fake_account"), node(2, "aws_vpc")];
        self.say(&FromWorker::Nodes { unit, nodes });
        self.act(behaviour, unit);
    }

    fn act(&mut self, behaviour: &str, unit: u32) {
        match behaviour {
            flood if flood.starts_with("flood-of-") => self.flood(flood, unit),
            "allocate" => self.allocate(),
            "hang" => sleep(),
            // A session that runs while its job does not, and one whose session does not run either.
            "stall" => self.report(Activity { quiet_ms: 3_600_000, ..quiet(unit, 1_000) }),
            "stuck" => self.report(Activity { loop_ms: 3_600_000, ..quiet(unit, 0) }),
            // It makes progress again after a while.
            "quiet" => {
                self.say(&FromWorker::Alive(quiet(unit, 600_000)));
                self.say(&FromWorker::Alive(Activity::default()));
                self.finish(unit);
            }
            "ask-for-credentials" => {
                self.say(&FromWorker::NeedCredentials { unit, rejected: false });
                sleep();
            }
            "die" => {
                let kill = format!("kill -KILL {}", std::process::id());
                let _ = Command::new("sh").args(["-c", &kill]).status();
            }
            "stop" => {
                let stop = format!("kill -STOP {}", std::process::id());
                let _ = Command::new("sh").args(["-c", &stop]).status();
            }
            "panic" => panic!("the puppet panics"),
            "wrong-counts" => {
                self.say(&FromWorker::UnitDone { unit, counts: Counts { nodes: 3, edges: 0, deferred: 0, names: 0 } })
            }
            "no-done" => std::process::exit(0),
            "foreign-unit" => self.say(&FromWorker::Nodes { unit: unit + 1, nodes: vec![node(3, "aws_vpc")] }),
            "twice" => self.say(&FromWorker::Ready { version: PROTOCOL_VERSION }),
            "half-frame" => {
                self.raw(&1000_u32.to_le_bytes());
                std::process::exit(0);
            }
            "flood-frames" => loop {
                self.say(&FromWorker::Alive(Activity::default()));
            },
            "flood-log" => {
                for line in 0..100_000 {
                    eprintln!("line {line} of the flood");
                    let message = format!("frame {line} of the flood");
                    self.say(&FromWorker::Event(Event::Log { level: Level::Info, target: "t".into(), message }));
                }
                self.finish(unit);
            }
            "endless-line" => {
                for _ in 0..1000 {
                    let _ = io::stderr().write_all(&[b'x'; 10_000]);
                }
                self.finish(unit);
            }
            "ignore-term" => {
                // So does the shell, and what it becomes.
                let _ = Command::new("sh").args(["-c", "trap '' TERM; exec sleep 3600"]).status();
            }
            "ignore-term-but-not-cancel" => {
                assert_eq!(self.hear(), ToWorker::Cancel);
                let count = Event::Count { name: "puppet_cancelled".into(), labels: Vec::new(), by: 1 };
                self.say(&FromWorker::Event(count));
                let failure = Failure { kind: FailureKind::Cancelled, message: "cancelled".into() };
                self.say(&FromWorker::Failed(failure));
                std::process::exit(0);
            }
            "grandchild" => {
                // It leaves the group and keeps standard error open. The shell ends at once and is waited for.
                let _ = Command::new("sh").args(["-c", "setsid sleep 3600 &"]).stdin(Stdio::null()).status();
                self.finish(unit);
            }
            "deny" => {
                let failure = Failure { kind: FailureKind::Credentials, message: "role denied".into() };
                self.say(&FromWorker::UnitFailed { unit, failure });
                self.say(&FromWorker::Done);
                std::process::exit(0);
            }
            "linger" => {
                self.finish_frames(unit);
                sleep();
            }
            "well" => self.finish(unit),
            other => panic!("unknown behaviour {other}"),
        }
    }

    /// Takes more memory than it may have.
    fn allocate(&self) -> ! {
        guard::limit_memory(self.memory_limit);
        let mut all = Vec::new();
        loop {
            all.push(vec![1_u8; 1 << 20]);
        }
    }

    fn finish_frames(&mut self, unit: u32) {
        let mut edges = EdgeList::default();
        edges.push([1; 16], [2; 16]);
        self.say(&FromWorker::Edges { unit, edges });
        self.say(&FromWorker::UnitDone { unit, counts: Counts { nodes: 2, edges: 1, deferred: 0, names: 0 } });
        self.say(&FromWorker::Done);
    }

    fn finish(&mut self, unit: u32) -> ! {
        self.finish_frames(unit);
        std::process::exit(0);
    }
}
