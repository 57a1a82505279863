//! Not seen is not gone: what a server that cannot be asked hides stays in both cores.

use crate::support::{
    both::{Cores, Daemons, Graph},
    ssh::LocalSsh,
};

/// What a machine answers to the script.
const SYSTEM: &str = "\n=ckworker= os\nPRETTY_NAME=\"Debian GNU/Linux 12\"\nID=debian\n\n=ckworker= kernel\nLinux\n6.1.0\n\
    x86_64\n\n=ckworker= boot\nbtime 1764000000\n\n=ckworker= disks\nsda\t2097152\t1\tDISK\n\n=ckworker= packages\n\
    dpkg 312\n\n=ckworker= mounts\n/dev/sda1\t/\text4\trw\t/dev/sda1 1000 400 500 45% /\n\n=ckworker= end\n";

fn daemons(cores: &Cores, ssh: &LocalSsh, servers: &[String]) -> Daemons {
    cores.daemons(&|command| {
        command.args(["--fork", "--onprem-fork", "--collector", "onprem", "--timeout", "30", "--onprem-server"]);
        ssh.serve(command.args(servers).arg("--onprem-ssh-key").arg(ssh.path("id")))
    })
}

async fn complete(cores: &Cores, daemons: &Daemons) -> [Graph; 2] {
    for (kind, error) in cores.collect(daemons).await {
        assert_eq!((kind.as_str(), error.as_str()), ("action_done", ""), "{}", daemons.logs());
    }
    cores.graphs().await
}

#[tokio::test]
async fn core2_and_core4_keep_what_servers_hide() {
    let ssh = LocalSsh::start(3, "");
    let answer = |machine| {
        ssh.answer_script(machine, SYSTEM);
        ssh.behave(machine, "script");
    };
    (0..3).for_each(answer);
    let servers = [ssh.entry("Berlin%dc1%lan%", 0), ssh.entry("Berlin%dc1%lan%", 1), ssh.entry("Paris%", 2)];
    let cores = Cores::start().await;
    let all = daemons(&cores, &ssh, &servers);
    let truth = complete(&cores, &all).await;
    assert_eq!(truth[1].nodes.values().filter(|node| node["kind"] == "onprem_filesystem").count(), 3);
    for (machine, mode, named) in [
        (1, "broken", "CommandFailed"),
        (1, "flood", "ResponseTooLarge"),
        (1, "hang", "Timeout"),
        (1, "hang-script", "Timeout"),
        (1, "script", "CommandFailed"),
        (1, "refuses scripts", "NotInUse"),
        (2, "broken", "none of its servers"),
    ] {
        ssh.behave(machine, mode);
        if mode.ends_with("script") {
            ssh.answer_script(machine, "\n=ckworker= os\n");
        }
        for (kind, error) in cores.collect(&all).await {
            assert!(kind == "action_error" && error.contains(named), "{mode}: {kind} {error}: {}", all.logs());
        }
        for (truth, graph) in truth.iter().zip(cores.graphs().await) {
            truth.assert_same(&graph, mode);
        }
        answer(machine);
    }
    let again = complete(&cores, &all).await;
    truth.iter().zip(&again).for_each(|(truth, graph)| truth.assert_same(graph, "all answer again"));
    cores.stop(all).await;
    // A server that the option does not name any more goes.
    let fewer = daemons(&cores, &ssh, &servers[1..]);
    let graphs = complete(&cores, &fewer).await;
    let count = |graph: &Graph| graph.nodes.values().filter(|node| node["kind"] == "onprem_instance").count();
    assert_eq!(graphs.each_ref().map(count), [2, 2]);
    cores.stop(fewer).await;
}
