//! The AWS collector and changes of AWS resources, by the built program with a local AWS.

mod cleanup;
mod collect;
mod core4;
mod exposed;
mod faults;
mod roles;
mod settings;
mod shapes;
mod tags;
mod unseen;
