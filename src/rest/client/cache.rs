//! Answers that are kept with their ETags, for APIs that count no call for an answer that has not changed.
//!
//! They are kept by the process: by a daemon that collects without `--fork`, from one run to the next.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, RandomState},
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
};

use reqwest::{
    Url,
    header::{ETAG, HeaderValue},
};

use super::Answer;

/// The most bytes of all bodies that are kept.
const MAX_BYTES: usize = 64 << 20;

/// The most answers that are kept.
const MAX_ANSWERS: usize = 10_000;

static CACHE: LazyLock<Cache> = LazyLock::new(Cache::default);

/// What an answer is for: an address, and the credentials that may see it. Of these only a hash is kept.
type Key = (Url, u64);

/// An answer and its ETag.
#[derive(Clone)]
pub(super) struct Kept {
    /// The ETag.
    pub(super) tag: HeaderValue,
    /// The answer.
    pub(super) answer: Arc<Answer>,
}

#[derive(Default)]
struct Cache {
    hasher: RandomState,
    answers: Mutex<Answers>,
}

#[derive(Default)]
struct Answers {
    by_key: HashMap<Key, Kept>,
    /// The oldest first.
    order: VecDeque<Key>,
    bytes: usize,
}

/// Returns the answer that was kept for an address and credentials.
pub(super) fn kept(url: &Url, credentials: &str) -> Option<Kept> {
    let key = CACHE.key(url, credentials);
    CACHE.lock().by_key.get(&key).cloned()
}

/// Keeps an answer, if it has an ETag.
pub(super) fn keep(url: &Url, credentials: &str, answer: &Answer) {
    let Some(tag) = answer.headers.get(ETAG).cloned() else { return };
    let key = CACHE.key(url, credentials);
    CACHE.lock().add(key, Kept { tag, answer: Arc::new(answer.clone()) });
}

impl Cache {
    fn key(&self, url: &Url, credentials: &str) -> Key {
        (url.clone(), self.hasher.hash_one(credentials))
    }

    fn lock(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answers {
    fn add(&mut self, key: Key, kept: Kept) {
        self.remove(&key);
        self.bytes += kept.answer.body.len();
        self.by_key.insert(key.clone(), kept);
        self.order.push_back(key);
        while self.bytes > MAX_BYTES || self.order.len() > MAX_ANSWERS {
            let Some(oldest) = self.order.front().cloned() else { return };
            self.remove(&oldest);
        }
    }

    fn remove(&mut self, key: &Key) {
        if let Some(old) = self.by_key.remove(key) {
            self.bytes -= old.answer.body.len();
            self.order.retain(|known| known != key);
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use bytes::Bytes;
    use reqwest::header::HeaderMap;

    use super::*;

    fn answer(tag: &str, bytes: usize) -> Answer {
        let headers = HeaderMap::from_iter([(ETAG, HeaderValue::from_str(tag).unwrap())]);
        Answer { status: 200, headers, body: Bytes::from(vec![b' '; bytes]) }
    }

    #[test]
    fn answers_are_kept_for_their_credentials_only() {
        let url = Url::parse("https://api.test/a").unwrap();
        keep(&url, "one", &answer("\"1\"", 3));
        assert_eq!(kept(&url, "one").unwrap().tag, "\"1\"");
        assert!(kept(&url, "two").is_none() && kept(&url.join("b").unwrap(), "one").is_none());
        keep(&url, "one", &Answer { headers: HeaderMap::new(), ..answer("x", 3) });
        assert_eq!(kept(&url, "one").unwrap().tag, "\"1\"", "an answer without a tag replaces none");
    }

    #[test]
    fn oldest_answers_make_room() {
        let mut answers = Answers::default();
        let key = |number: usize| (Url::parse(&format!("https://api.test/{number}")).unwrap(), 0);
        let of = |bytes| Kept { tag: HeaderValue::from_static("t"), answer: Arc::new(answer("t", bytes)) };
        (0..5).for_each(|number| answers.add(key(number), of(MAX_BYTES / 4)));
        assert!(!answers.by_key.contains_key(&key(0)) && answers.by_key.contains_key(&key(4)));
        answers.add(key(4), of(1));
        answers.add(key(9), of(MAX_BYTES + 1));
        assert_eq!((answers.bytes, answers.order.len()), (0, 0), "one that is too large is not kept");
    }
}
