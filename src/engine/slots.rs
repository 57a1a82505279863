//! Typed slots: what hooks keep for a run or for a location, one value of each type.

use std::{
    any::{Any, TypeId},
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// One value of each type, made when it is first needed.
#[derive(Default)]
pub struct Slots(Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>);

impl Slots {
    /// Returns the value of this type.
    #[must_use]
    pub fn get<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = slots.entry(TypeId::of::<T>()).or_insert_with(|| Arc::<T>::default());
        // The key is the type of the value.
        Arc::clone(slot).downcast().unwrap_or_default()
    }
}

impl Slots {
    /// Sets the value of this type.
    pub fn put<T: Send + Sync + 'static>(&self, value: T) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(TypeId::of::<T>(), Arc::new(value));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[derive(Default)]
    struct Other(AtomicU32);

    #[test]
    fn each_type_has_one_value() {
        let slots = Slots::default();
        slots.get::<AtomicU32>().store(5, Ordering::Relaxed);
        slots.get::<Other>().0.store(6, Ordering::Relaxed);
        assert_eq!(slots.get::<AtomicU32>().load(Ordering::Relaxed), 5);
        assert_eq!(slots.get::<Other>().0.load(Ordering::Relaxed), 6);
    }
}
