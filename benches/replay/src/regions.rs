//! The names of regions: those of AWS, and well-formed invented ones beyond.

/// The table that ckworker has of AWS's regions.
const TABLE: &str = include_str!("../../../src/collectors/aws/models/endpoints.txt");

/// The regions that come first: the recorded one, and the one that the local AWS has besides.
const FIRST: [&str; 2] = ["us-east-1", "us-west-2"];

/// The names of so many regions, always in the same order.
pub(crate) fn names(count: usize) -> Vec<String> {
    let partition = TABLE.lines().skip_while(|line| !line.starts_with("partition aws ")).skip(1);
    let known = partition.take_while(|line| !line.starts_with("partition ")).filter_map(|line| {
        let name = line.strip_prefix("region ")?.split(' ').next()?;
        (!FIRST.contains(&name)).then(|| name.to_owned())
    });
    // No name is the beginning of another one, so that each is found whole in a text.
    let invented = (100..).map(|number| format!("us-invented-{number}"));
    FIRST.iter().map(|name| (*name).to_owned()).chain(known).chain(invented).take(count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_regions_come_first_and_all_are_distinct() {
        let mut all = names(128);
        assert_eq!(all[..2], ["us-east-1", "us-west-2"]);
        let invented = all.iter().position(|name| name.contains("invented"));
        assert!(invented.is_some_and(|first| (34..60).contains(&first)), "{invented:?}");
        assert!(all.iter().all(|name| !name.starts_with("cn-")), "{all:?}");
        all.sort();
        assert!(all.windows(2).all(|pair| !pair[1].starts_with(&pair[0])), "{all:?}");
    }
}
