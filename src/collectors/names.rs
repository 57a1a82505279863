//! Names that stand for kinds.

use super::schema;

/// Returns whether a kind is the one with this name. A name with a final `*` stands for all kinds that begin so and are
/// known only at run time.
#[must_use]
pub fn is_of(kind: &str, name: &str) -> bool {
    match name.strip_suffix('*') {
        Some(beginning) => kind.starts_with(beginning) && schema().is_ok_and(|schema| schema.kind(kind).is_none()),
        None => kind == name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_a_star_are_of_kinds_at_run_time() {
        assert!(is_of("aws_vpc", "aws_vpc") && !is_of("aws_vpc", "aws_*"), "its collector knows the kind");
        assert!(is_of("aws_x_widget", "aws_x_*") && !is_of("aws_y_widget", "aws_x_*"));
    }
}
