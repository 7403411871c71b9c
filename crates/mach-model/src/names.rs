//! The port name space of a task (`osfmk/ipc/ipc_entry.c`, `ipc_right.c`).

use crate::kern;

/// A task's number for a right: the index of an entry, and in the low byte the entry's generation.
pub type Name = u32;

/// Generation of an entry that was never used. The next one is [`FIRST_GENERATION`] (`IE_BITS_GEN_MASK`).
const UNUSED_GENERATION: u8 = 0xff;

/// The first generation of an entry, and the one after each restart (`ipc_entry_new_rollpoint`).
const FIRST_GENERATION: u8 = 3;

/// A generation is higher by this than the one before (`IE_BITS_GEN_ONE`).
const GENERATION_STEP: u8 = 4;

/// Generations restart at one of these limits (`IE_BITS_ROLL`): a name repeats after 63, 47, 31 or 15 uses of its
/// entry. The kernel draws one at each restart; the model takes one after the other.
const GENERATION_LIMITS: [u8; 4] = [0x3f, 0xff, 0x7f, 0xbf];

/// The most user references that an entry counts. One that got there stays there.
pub const UREFS_MAX: u32 = 65_535;

/// A port, whoever holds rights to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Port(pub(crate) u64);

/// The object that a name denotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// A send right, held as so many user references.
    Send {
        /// User references.
        urefs: u32,
    },
    /// The receive right of a port, and no send right.
    Receive,
    /// A send right whose port has died. It keeps its references.
    DeadName {
        /// User references.
        urefs: u32,
    },
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    right: Right,
    /// `None` once the port is dead.
    port: Option<Port>,
}

#[derive(Debug)]
struct Slot {
    generation: u8,
    generation_limit: u8,
    entry: Option<Entry>,
}

/// The name space.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// Slot 0 belongs to the kernel and stays free.
    slots: Vec<Slot>,
    /// Indices of freed slots, the last freed one last.
    free: Vec<usize>,
    restarts: usize,
}

impl Names {
    /// Every name and what it denotes.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Name, Right)> {
        let named = |(index, slot): (usize, &Slot)| {
            slot.entry
                .map(|entry| (name_of(index, slot.generation), entry.right))
        };
        self.slots.iter().enumerate().filter_map(named)
    }

    pub(crate) fn get(&self, name: Name) -> Option<Right> {
        let slot = self.slots.get((name >> 8) as usize)?;
        slot.entry
            .filter(|_| u32::from(slot.generation) == name & 0xff)
            .map(|entry| entry.right)
    }

    /// The port behind a live send right.
    pub(crate) fn port(&self, name: Name) -> Option<Port> {
        self.get(name)?;
        self.slots[(name >> 8) as usize].entry?.port
    }

    pub(crate) fn insert_receive(&mut self, port: Port) -> Name {
        self.insert(Entry {
            right: Right::Receive,
            port: Some(port),
        })
    }

    pub(crate) fn insert_send(&mut self, port: Port, urefs: u32) -> Name {
        self.insert(Entry {
            right: Right::Send {
                urefs: urefs.min(UREFS_MAX),
            },
            port: Some(port),
        })
    }

    /// A send right arrives in a message: one name a port, and one reference more each time
    /// (`ipc_right_copyout`). At the maximum the count stays.
    pub(crate) fn copy_out_send(&mut self, port: Port) -> Name {
        let holds_port = |slot: &Slot| {
            slot.entry
                .is_some_and(|entry| entry.port == Some(port) && matches!(entry.right, Right::Send { .. }))
        };
        let Some(index) = self.slots.iter().position(holds_port) else {
            return self.insert_send(port, 1);
        };
        let slot = &mut self.slots[index];
        if let Some(Entry {
            right: Right::Send { urefs },
            ..
        }) = &mut slot.entry
        {
            *urefs = (*urefs + 1).min(UREFS_MAX);
        }
        name_of(index, slot.generation)
    }

    /// One reference less (`ipc_right_dealloc`); the last takes the name along. At the maximum the count
    /// stays.
    pub(crate) fn deallocate(&mut self, name: Name) -> Result<(), i32> {
        let right = self.get(name).ok_or(kern::INVALID_NAME)?;
        let (Right::Send { urefs } | Right::DeadName { urefs }) = right else {
            return Err(kern::INVALID_RIGHT);
        };
        match urefs {
            1 => self.destroy(name),
            UREFS_MAX => {}
            _ => {
                if let Some(Entry {
                    right: Right::Send { urefs } | Right::DeadName { urefs },
                    ..
                }) = &mut self.slots[(name >> 8) as usize].entry
                {
                    *urefs -= 1;
                }
            }
        }
        Ok(())
    }

    /// Takes the name away, whatever it denotes and however often.
    pub(crate) fn destroy(&mut self, name: Name) {
        if self.get(name).is_some() {
            let index = (name >> 8) as usize;
            self.slots[index].entry = None;
            self.free.push(index);
        }
    }

    /// The port dies: send rights to it turn into dead names (`ipc_right_check`).
    pub(crate) fn port_died(&mut self, port: Port) {
        for entry in self.slots.iter_mut().filter_map(|slot| slot.entry.as_mut()) {
            if entry.port == Some(port)
                && let Right::Send { urefs } = entry.right
            {
                *entry = Entry {
                    right: Right::DeadName { urefs },
                    port: None,
                };
            }
        }
    }

    /// Uses the entry that was freed last, or a new one, under its next name (`ipc_entry_claim`).
    fn insert(&mut self, entry: Entry) -> Name {
        let index = self.free.pop().unwrap_or_else(|| {
            let index = self.slots.len().max(1);
            self.slots.resize_with(index + 1, || Slot {
                generation: UNUSED_GENERATION,
                generation_limit: UNUSED_GENERATION,
                entry: None,
            });
            index
        });
        let slot = &mut self.slots[index];
        let next = slot.generation.wrapping_add(GENERATION_STEP);
        slot.generation = next % slot.generation_limit;
        if slot.generation < GENERATION_STEP {
            slot.generation = FIRST_GENERATION;
            slot.generation_limit = GENERATION_LIMITS[self.restarts % GENERATION_LIMITS.len()];
            self.restarts += 1;
        }
        slot.entry = Some(entry);
        name_of(index, slot.generation)
    }
}

fn name_of(index: usize, generation: u8) -> Name {
    (index as Name) << 8 | Name::from(generation)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORT: Port = Port(1);

    #[test]
    fn rights_to_one_port_gather_on_one_name() {
        let mut names = Names::default();
        let name = names.copy_out_send(PORT);
        assert_eq!(names.copy_out_send(PORT), name);
        assert_ne!(names.copy_out_send(Port(2)), name);
        assert_eq!(names.get(name), Some(Right::Send { urefs: 2 }));
    }

    #[test]
    fn the_last_reference_takes_the_name_along_and_the_entry_gets_another() {
        let mut names = Names::default();
        let name = names.insert_send(PORT, 2);
        assert_eq!(names.deallocate(name), Ok(()));
        assert_eq!(names.deallocate(name), Ok(()));
        assert_eq!(names.deallocate(name), Err(kern::INVALID_NAME));
        let again = names.copy_out_send(PORT);
        assert_eq!(
            (again >> 8, again == name),
            (name >> 8, false),
            "the same entry under another name"
        );
        assert_eq!(names.get(name), None, "the old name stays invalid");
    }

    #[test]
    fn names_of_an_entry_step_by_4_and_repeat_after_15_to_63_uses() {
        let mut names = Names::default();
        let first = names.insert_receive(PORT);
        let mut uses = Vec::new();
        for _ in GENERATION_LIMITS {
            let mut name = first;
            let mut used = 0;
            loop {
                names.destroy(name);
                used += 1;
                let next = names.insert_receive(PORT);
                if next == first {
                    break;
                }
                assert_eq!(next, name + 4);
                name = next;
            }
            uses.push(used);
        }
        assert_eq!((first, uses), (0x103, vec![15, 63, 31, 47]));
    }

    #[test]
    fn the_entry_that_was_freed_last_is_used_first() {
        let mut names = Names::default();
        let taken: Vec<Name> = (1..=3).map(|port| names.insert_receive(Port(port))).collect();
        names.destroy(taken[2]);
        names.destroy(taken[0]);
        let again = [4, 5, 6].map(|port| names.insert_receive(Port(port)) >> 8);
        assert_eq!(again, [taken[0] >> 8, taken[2] >> 8, 4]);
    }

    #[test]
    fn at_the_maximum_references_neither_rise_nor_fall() {
        let mut names = Names::default();
        let name = names.insert_send(PORT, UREFS_MAX - 1);
        for _ in 0..3 {
            names.copy_out_send(PORT);
        }
        for _ in 0..3 {
            assert_eq!(names.deallocate(name), Ok(()));
        }
        assert_eq!(names.get(name), Some(Right::Send { urefs: UREFS_MAX }));
        names.port_died(PORT);
        assert_eq!(names.deallocate(name), Ok(()));
        assert_eq!(names.get(name), Some(Right::DeadName { urefs: UREFS_MAX }));
    }

    #[test]
    fn a_port_that_dies_leaves_a_dead_name_with_its_references() {
        let mut names = Names::default();
        let name = names.insert_send(PORT, 2);
        names.port_died(PORT);
        assert_eq!(
            (names.get(name), names.port(name)),
            (Some(Right::DeadName { urefs: 2 }), None)
        );
        assert_eq!(names.deallocate(name), Ok(()));
        assert_eq!(names.deallocate(name), Ok(()));
        assert_eq!(names.iter().count(), 0);
    }

    #[test]
    fn a_receive_right_cannot_be_deallocated() {
        let mut names = Names::default();
        let name = names.insert_receive(PORT);
        assert_eq!(names.deallocate(name), Err(kern::INVALID_RIGHT));
        assert_eq!(names.get(name), Some(Right::Receive));
        names.destroy(name);
        assert_eq!(names.deallocate(name), Err(kern::INVALID_NAME));
    }
}
