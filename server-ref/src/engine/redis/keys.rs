//! Names in Redis. Every key and topic of a channel carries the hash tag of the channel's partition, so that
//! one script can touch all of them, on a cluster too. The tags are the smallest numbers whose slots lie
//! evenly apart; they, and the hash that chooses a partition, must never change for a deployment.

use crate::engine::Part;

/// Slots of a Redis cluster.
const SLOTS: u16 = 16384;

/// Version of the layout of keys and values; a Redis that holds another one is refused.
pub(super) const LAYOUT: u32 = 1;

/// How channels are spread, and what their keys are called.
#[derive(Debug)]
pub(super) struct Keys {
    prefix: Box<str>,
    tags: Box<[Box<str>]>,
}

/// Which of the partitions.
pub(super) type Partition = usize;

impl Keys {
    pub(super) fn new(prefix: &str, partitions: u16) -> Self {
        let width = SLOTS / partitions;
        let mut tags: Vec<Option<Box<str>>> = vec![None; usize::from(partitions)];
        let mut missing = tags.len();
        let mut number = 0_u32;
        while missing > 0 {
            let tag = number.to_string();
            let place = &mut tags[usize::from((slot(tag.as_bytes()) / width).min(partitions - 1))];
            if place.is_none() {
                *place = Some(tag.into());
                missing -= 1;
            }
            number += 1;
        }
        Self { prefix: prefix.into(), tags: tags.into_iter().flatten().collect() }
    }

    pub(super) fn partitions(&self) -> std::ops::Range<Partition> {
        0..self.tags.len()
    }

    pub(super) fn partition(&self, channel: &str) -> Partition {
        usize::from(crc16(channel.as_bytes())) % self.tags.len()
    }

    fn key(&self, partition: Partition, kind: &str, name: &str) -> String {
        let tag = &self.tags[partition];
        let mut key = String::with_capacity(self.prefix.len() + tag.len() + kind.len() + name.len() + 5);
        for piece in [&self.prefix, ":{", tag, "}:", kind, ":", name] {
            key.push_str(piece);
        }
        key
    }

    pub(super) fn head(&self, partition: Partition, channel: &str) -> String {
        self.key(partition, "head", channel)
    }

    /// The channel's log, and the topic on which hints about the channel are published.
    pub(super) fn log(&self, partition: Partition, channel: &str) -> String {
        self.key(partition, "log", channel)
    }

    /// The channel's length stands in front, so that no channel and key can be read as another pair.
    pub(super) fn idempotency(&self, partition: Partition, channel: &str, key: &str) -> String {
        self.key(partition, "once", &format!("{}:{channel}:{key}", channel.len()))
    }

    /// A producer's record in a channel.
    pub(super) fn producer(&self, partition: Partition, channel: &str, producer: &str) -> String {
        self.key(partition, "from", &format!("{}:{channel}:{producer}", channel.len()))
    }

    /// What a user has brought into being in a partition.
    pub(super) fn owned(&self, partition: Partition, user: &str) -> String {
        self.key(partition, "owned", user)
    }

    /// The channel of a topic.
    pub(super) fn channel_of<'a>(&self, topic: &'a str) -> Option<&'a str> {
        let (_, channel) = topic.strip_prefix(&*self.prefix)?.split_once("}:log:")?;
        Some(channel)
    }

    /// The keys of a map, in the order in which scripts take them.
    pub(super) fn map(&self, partition: Partition, name: &str) -> MapKeys {
        MapKeys {
            head: self.key(partition, "head", name),
            entries: self.key(partition, "map", name),
            leases: self.key(partition, "leases", name),
            owners: self.key(partition, "owners", name),
        }
    }

    /// Maps of a partition by the time at which a lease may have lapsed.
    pub(super) fn due(&self, partition: Partition) -> String {
        self.key(partition, "due", "maps")
    }

    pub(super) fn control(&self) -> String {
        format!("{}:control", self.prefix)
    }

    /// Written before a wait for replicas or the disk.
    pub(super) fn ack(&self) -> String {
        format!("{}:ack", self.prefix)
    }

    pub(super) fn layout(&self) -> String {
        format!("{}:layout", self.prefix)
    }
}

/// The keys of one map.
pub(super) struct MapKeys {
    pub(super) head: String,
    pub(super) entries: String,
    pub(super) leases: String,
    pub(super) owners: String,
}

/// A map as a channel of its own: its part in front of the channel's name.
pub(super) fn map_name(part: Part, channel: &str) -> String {
    format!("{}:{channel}", part.prefix())
}

/// The channel of a map.
pub(super) fn channel_of_map(name: &str) -> Option<&str> {
    name.split_once(':').map(|(_, channel)| channel)
}

fn slot(tag: &[u8]) -> u16 {
    crc16(tag) % SLOTS
}

/// CRC-16/XMODEM, as Redis cluster has it.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| (crc << 8) ^ CRC[usize::from((crc >> 8) as u8 ^ byte)])
}

const CRC: [u16; 256] = {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let mut crc = (at as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
            bit += 1;
        }
        table[at] = crc;
        at += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_redis() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(slot(b"foo"), 12182);
    }

    #[test]
    fn partitions_lie_evenly_apart() {
        let keys = Keys::new("homing", 64);
        for (at, tag) in keys.tags.iter().enumerate() {
            assert_eq!(usize::from(slot(tag.as_bytes())) / 256, at);
        }
        let three_nodes = keys.tags.iter().filter(|tag| slot(tag.as_bytes()) < SLOTS / 3).count();
        assert!((21..=22).contains(&three_nodes));
    }

    #[test]
    fn channels_are_spread_over_all_partitions() {
        let keys = Keys::new("homing", 64);
        let mut count = [0_u32; 64];
        for channel in 0..6400 {
            count[keys.partition(&format!("chat:room-{channel}"))] += 1;
        }
        assert!(count.iter().all(|count| (40..200).contains(count)), "{count:?}");
    }

    #[test]
    fn a_topic_names_its_channel() {
        let keys = Keys::new("homing", 64);
        for channel in ["chat:general", "a}:log:b", ""] {
            assert_eq!(keys.channel_of(&keys.log(keys.partition(channel), channel)), Some(channel));
        }
        assert_eq!(channel_of_map(&map_name(Part::Here, "chat:a")), Some("chat:a"));
    }
}
