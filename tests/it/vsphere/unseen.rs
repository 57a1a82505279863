//! Not seen is not gone: what a fault of the server hides stays in both cores.

use crate::support::{
    both::{Cores, Daemons, Graph},
    vsphere::LocalVsphere,
};

async fn complete(cores: &Cores, daemons: &Daemons) -> [Graph; 2] {
    for (kind, error) in cores.collect(daemons).await {
        assert_eq!((kind.as_str(), error.as_str()), ("action_done", ""), "{}", daemons.logs());
    }
    cores.graphs().await
}

#[tokio::test]
async fn core2_and_core4_keep_what_faults_of_vsphere_hide() {
    let server = LocalVsphere::start(&["--max-objects", "5"]);
    let cores = Cores::start().await;
    let daemons = cores.daemons(&|command| server.serve(command.args(["--fork", "--timeout", "25"])));
    let truth = complete(&cores, &daemons).await;
    assert_eq!(truth[1].nodes.values().filter(|node| node["kind"] == "vsphere_instance").count(), 12);
    for (fault, named) in [
        ("Login fault:InvalidLogin", "InvalidLogin"),
        ("RetrieveServiceContent html", "RetrieveServiceContent"),
        ("CreateContainerView fault:NoPermission", "NoPermission"),
        ("RetrievePropertiesEx cut", "ListMachines"),
        ("RetrievePropertiesEx hang", "ListMachines"),
        ("ContinueRetrievePropertiesEx fault:InvalidArgument", "InvalidArgument"),
        ("ContinueRetrievePropertiesEx html", "ListMachines"),
        ("property config.hardware.numCPU denied", "NoPermission"),
        ("property availableField denied", "NoPermission"),
        ("property name denied", "NoPermission"),
        ("property guest.guestState denied", "NoPermission"),
    ] {
        server.fail(&format!("{fault}\n"));
        let answers = cores.collect(&daemons).await;
        server.fail("");
        for (kind, error) in answers {
            assert!(kind == "action_error" && error.contains(named), "{fault}: {kind} {error}: {}", daemons.logs());
        }
        for (truth, graph) in truth.iter().zip(cores.graphs().await) {
            truth.assert_same(&graph, fault);
        }
    }
    let again = complete(&cores, &daemons).await;
    truth.iter().zip(&again).for_each(|(truth, graph)| truth.assert_same(graph, "the server answers again"));
    cores.stop(daemons).await;
    assert_eq!(server.calls("Login"), server.calls("Logout") + 2, "but for the refused ones");
}
