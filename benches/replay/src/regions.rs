//! Names of regions: first those of AWS, then invented names of the same form.

/// The table that ckworker has of AWS's regions.
const TABLE: &str = include_str!("../../../src/collectors/aws/models/partitions.txt");

/// The first two regions: the recorded region, and the other region of the local AWS.
const FIRST: [&str; 2] = ["us-east-1", "us-west-2"];

/// Returns the names of `count` regions, always in the same order.
pub(crate) fn names(count: usize) -> Vec<String> {
    let partition = TABLE.lines().skip_while(|line| !line.starts_with("partition aws ")).skip(1);
    let known = partition.take_while(|line| !line.starts_with("partition ")).filter_map(|line| {
        let name = line.strip_prefix("region ")?.split(' ').next()?;
        (!FIRST.contains(&name)).then(|| name.to_owned())
    });
    // No name is the prefix of another name: a region is searched for by its prefix.
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
