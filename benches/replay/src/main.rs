//! The `replay` command: a server until stdin closes, or SIGTERM or SIGINT arrives.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    sync::mpsc,
    thread,
    time::Duration,
};

use clap::{Arg, ArgMatches, Command, value_parser};
use replay::{Config, Replay, Tls};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};

fn main() -> ExitCode {
    let matches = command().get_matches();
    match run(&matches) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There is no other place to report it if stderr is closed.
            let _ = writeln!(io::stderr(), "replay: {error}");
            ExitCode::FAILURE
        }
    }
}

fn command() -> Command {
    let number = |name: &'static str, value: &'static str, default: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).default_value(default).help(help)
    };
    let file = |name: &'static str, other: &'static str, help: &'static str| {
        let file = Arg::new(name).long(name).value_name("FILE").value_parser(value_parser!(PathBuf));
        file.requires(other).help(help)
    };
    Command::new("replay")
        .about("Answers AWS API requests from recordings, on 127.0.0.1, until stdin closes")
        .arg(number("accounts", "N", "1", "Accounts of the organization").value_parser(value_parser!(usize)))
        .arg(number("regions", "N", "1", "Regions that are enabled").value_parser(value_parser!(usize)))
        .arg(number("latency-ms", "MS", "0", "Delay of every answer, in milliseconds").value_parser(value_parser!(u64)))
        .arg(number("port", "PORT", "0", "Port to listen on; 0 takes a free one").value_parser(value_parser!(u16)))
        .arg(file("tls-certificate", "tls-key", "Certificate (PEM) for https"))
        .arg(file("tls-key", "tls-certificate", "Private key (PEM) of the certificate"))
}

fn config(matches: &ArgMatches) -> Config {
    let file = |name: &str| matches.get_one::<PathBuf>(name).cloned();
    let count = |name: &str| matches.get_one::<usize>(name).copied().unwrap_or(1);
    let tls = file("tls-certificate").zip(file("tls-key")).map(|(certificate, key)| Tls { certificate, key });
    Config {
        accounts: count("accounts"),
        regions: count("regions"),
        latency: Duration::from_millis(matches.get_one::<u64>("latency-ms").copied().unwrap_or(0)),
        tls,
        port: matches.get_one::<u16>("port").copied().unwrap_or(0),
    }
}

fn run(matches: &ArgMatches) -> Result<(), Box<dyn std::error::Error>> {
    // Installed before the server starts: a signal must not kill the process in between.
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let replay = Replay::start(config(matches))?;
    let (stop, stopped) = mpsc::channel();
    let at_end = stop.clone();
    thread::spawn(move || {
        // An error counts as the end of stdin.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        let _ = at_end.send(());
    });
    thread::spawn(move || {
        signals.forever().next();
        let _ = stop.send(());
    });
    writeln!(io::stdout(), "ready {}", replay.endpoint())?;
    stopped.recv()?;
    drop(replay);
    Ok(())
}
