//! Feed: tells a source of what stands at its place, as whoever follows it does, at the moment that a test chooses.

use super::*;
use crate::kubernetes::watch::Object;

/// Tells one source. What is told last is in force.
pub(in crate::config) struct Feed {
    reader: Reader,
    keeper: Keeper,
}

/// What is told of a source.
#[derive(Clone, Debug)]
pub(in crate::config) enum Told {
    /// The `data` of a ConfigMap, the `spec`s of all objects, or the text of a file.
    Is(serde_json::Value),
    /// There is no such object or file.
    Gone,
    /// Its place cannot be reached.
    Outage,
}

enum Reader {
    ConfigMap(ConfigMap),
    File,
    Identities(&'static Target),
}

impl Feed {
    /// The feed of the source called `name`.
    pub(in crate::config) fn of(sources: &Sources, name: &str) -> Self {
        let Running { live, place, .. } = &**sources.running.get(name).expect("a source of this configuration");
        let reader = match place {
            Place::ConfigMap { .. } => Reader::ConfigMap(ConfigMap::default()),
            Place::File { .. } => Reader::File,
            Place::Identities { target, .. } => Reader::Identities(target),
        };
        let keeper = Keeper::new(place.name(), live.clone(), Arc::default(), || SystemTime::UNIX_EPOCH);
        Self { reader, keeper }
    }

    pub(in crate::config) fn tell(&mut self, told: &Told) {
        let data = match told {
            Told::Is(data) => Some(data),
            Told::Gone => None,
            Told::Outage => return self.keeper.failed("outage", "nobody answers"),
        };
        let read = match &mut self.reader {
            Reader::ConfigMap(config_map) => Ok(config_map.read(data)),
            Reader::File => match data {
                None => Ok(dynamic_file::nothing()),
                Some(data) => dynamic_file::parse(data.as_str().expect("a text"), false),
            },
            Reader::Identities(target) => {
                let specs = data.and_then(serde_json::Value::as_array).into_iter().flatten();
                let object = |(number, spec): (usize, &serde_json::Value)| {
                    let (name, body) = (number.to_string(), serde_json::json!({ "spec": spec }));
                    (name.clone(), Object { name, body, ..Object::default() })
                };
                Ok(identity_mapping::read(target, &specs.enumerate().map(object).collect()).0)
            }
        };
        match read {
            Ok(read) => self.keeper.take(read, None),
            Err(refused) => self.keeper.failed("source_refused", &refused.to_string()),
        }
    }
}
