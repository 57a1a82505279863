//! What a test can make go wrong.

use tokio::sync::watch;

/// What happens to a request.
#[derive(Clone)]
pub(super) enum Effect {
    /// This status and text are the answer.
    Refuse(u16, String),
    /// The connection breaks.
    Cut,
    /// The request waits, and is then dealt with as usual.
    Hold(watch::Receiver<bool>),
}

/// An effect on the next requests of a kind.
pub(super) struct Fault {
    pub(super) begin: String,
    pub(super) times: usize,
    pub(super) effect: Effect,
}

/// Takes the effect on a request out of the list.
pub(super) fn take(faults: &mut Vec<Fault>, request: &str) -> Option<Effect> {
    let index = faults.iter().position(|fault| request.starts_with(&fault.begin))?;
    let fault = &mut faults[index];
    fault.times -= 1;
    let effect = fault.effect.clone();
    if fault.times == 0 {
        faults.remove(index);
    }
    Some(effect)
}

/// Holds a request until it is opened or dropped.
pub struct Gate(watch::Sender<bool>);

impl Gate {
    pub(super) fn new() -> (Self, Effect) {
        let (sender, receiver) = watch::channel(false);
        (Self(sender), Effect::Hold(receiver))
    }

    /// Lets the request go on.
    pub fn open(self) {
        self.0.send_replace(true);
    }
}
