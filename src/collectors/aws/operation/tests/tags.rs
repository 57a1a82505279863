//! Changing a tag changes nothing else.

#![expect(clippy::unwrap_used, reason = "tests")]

use serde_json::json;

use super::{
    super::{client::testing::Served, *},
    replay::{MINUTE, actions, change, ec2_error, ok},
};

fn scaling_group(tags: &[(&str, &str, bool)]) -> (u16, String) {
    let tags = tags.iter().map(|(key, value, propagate)| {
        format!(
            "<member><Key>{key}</Key><Value>{value}</Value><PropagateAtLaunch>{propagate}</PropagateAtLaunch></member>"
        )
    });
    let tags: String = tags.collect();
    ok(format!(
        "<DescribeAutoScalingGroupsResponse><DescribeAutoScalingGroupsResult><AutoScalingGroups><member><Tags>{tags}</Tags>\
         </member></AutoScalingGroups></DescribeAutoScalingGroupsResult></DescribeAutoScalingGroupsResponse>"
    ))
}

fn changed() -> (u16, String) {
    ok("<CreateOrUpdateTagsResponse/>")
}

#[tokio::test(start_paused = true)]
async fn tag_change_keeps_propagation() {
    let tags = [("other", "1", true), ("keep", "2", false), ("hand on", "3", true)];
    for (key, propagate) in [("keep", "false"), ("hand on", "true"), ("new", "true")] {
        let served = Served::new([scaling_group(&tags), changed()]);
        let group = change(&served, "aws_autoscaling_group", "asg", json!({}), MINUTE);
        assert_eq!(group.update_tag(key, "9").await, Ok(Outcome::Done));
        let bodies = served.bodies();
        assert!(bodies[0].contains("AutoScalingGroupNames.member.1=the-name"), "{}", bodies[0]);
        assert!(bodies[1].contains(&format!("PropagateAtLaunch={propagate}")), "{key}: {}", bodies[1]);
        assert!(!bodies[1].contains("Tags.member.2"), "{}", bodies[1]);
    }
}

#[tokio::test(start_paused = true)]
async fn unreadable_tag_is_not_changed() {
    let served = Served::new([ec2_error(403, "AccessDenied")]);
    let group = change(&served, "aws_autoscaling_group", "asg", json!({}), MINUTE);
    assert!(group.update_tag("keep", "9").await.unwrap_err().message.contains("DescribeAutoScalingGroups"));
    assert_eq!(actions(&served), ["DescribeAutoScalingGroups"]);
}

/// A stack with these tags.
fn stack(tags: &[(&str, &str)]) -> (u16, String) {
    let tag = |(key, value): &(&str, &str)| format!("<member><Key>{key}</Key><Value>{value}</Value></member>");
    let tags: String = tags.iter().map(tag).collect();
    let parameters = "<Parameters><member><ParameterKey>Size</ParameterKey><ParameterValue>1</ParameterValue></member>\
                      </Parameters>";
    ok(format!(
        "<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackStatus>UPDATE_COMPLETE</StackStatus>\
         {parameters}<Tags>{tags}</Tags></member></Stacks></DescribeStacksResult></DescribeStacksResponse>"
    ))
}

#[tokio::test(start_paused = true)]
async fn stack_update_omits_reserved_tags() {
    let before = [("aws:servicecatalog:id", "s"), ("team", "a"), ("owner", "alice"), ("awsome", "b")];
    let accepted = || ok("<UpdateStackResponse><UpdateStackResult/></UpdateStackResponse>");
    let after = [("aws:servicecatalog:id", "s"), ("team", "a"), ("owner", "bob"), ("awsome", "b")];
    let served = Served::new([stack(&before), accepted(), stack(&after)]);
    let change_of = |served: &Served| change(served, "aws_cloudformation_stack", "arn:stack", json!({}), MINUTE);
    assert_eq!(change_of(&served).update_tag("owner", "bob").await, Ok(Outcome::Done));
    let update = &served.bodies()[1];
    assert!(!update.contains("servicecatalog") && update.contains("Tags.member.2.Key=awsome"), "{update}");
    assert!(update.contains("Tags.member.3.Value=bob") && !update.contains("Tags.member.4"), "{update}");
    assert!(update.contains("UsePreviousTemplate=true") && update.contains("UsePreviousValue=true"), "{update}");
    // The last tag is removed by an empty list; without the list all tags would stay.
    let served = Served::new([stack(&[before[0], before[1]]), accepted(), stack(&[before[0]])]);
    assert_eq!(change_of(&served).delete_tag("team").await, Ok(Outcome::Done));
    assert!(served.bodies()[1].contains("&Tags=&") || served.bodies()[1].ends_with("&Tags="), "{}", served.bodies()[1]);
}
