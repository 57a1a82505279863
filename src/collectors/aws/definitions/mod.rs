//! The definitions of AWS's kinds: one TOML file per service. The format is the engine's.

#[cfg(test)]
mod tests;

/// The definition files: name and text.
pub(crate) const FILES: &[(&str, &str)] = &[
    ("account.toml", include_str!("account.toml")),
    ("autoscaling.toml", include_str!("autoscaling.toml")),
    ("cloudformation.toml", include_str!("cloudformation.toml")),
    ("cloudwatch.toml", include_str!("cloudwatch.toml")),
    ("ec2.toml", include_str!("ec2.toml")),
    ("eks.toml", include_str!("eks.toml")),
    ("elb.toml", include_str!("elb.toml")),
    ("elbv2.toml", include_str!("elbv2.toml")),
    ("iam.toml", include_str!("iam.toml")),
    ("rds.toml", include_str!("rds.toml")),
    ("s3.toml", include_str!("s3.toml")),
];
