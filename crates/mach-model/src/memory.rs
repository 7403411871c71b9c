//! The address space of a task, in pages (`osfmk/vm/vm_map.c`).

use std::collections::BTreeMap;

/// The tag of an array of rights that arrived in a message (`VM_MEMORY_MACH_MSG`).
pub const TAG_MACH_MSG: u32 = 20;
/// The tag of an array of plain data that arrived in a message: none (`vm_map_copyout_kernel_buffer`; only above
/// 16 or 32 KiB it is [`TAG_MACH_MSG`], which the model leaves out).
pub const TAG_NONE: u32 = 0;
/// The tag of the process's own memory (`VM_MEMORY_MALLOC`).
pub const TAG_MALLOC: u32 = 1;

const BASE: u64 = 0x1_0000_0000;
/// Number of the process's own pages, with gaps between them.
const OWN_PAGES: u64 = 8;

/// Untagged regions below the process's own pages, as every process has them: a mapped file and a submap.
const FOREIGN_REGIONS: [Region; 2] = [
    Region {
        address: BASE - (2 << 20),
        size: 1 << 20,
        tag: TAG_NONE,
        external_pager: true,
        is_submap: false,
    },
    Region {
        address: BASE - (1 << 20),
        size: 1 << 20,
        tag: TAG_NONE,
        external_pager: false,
        is_submap: true,
    },
];

/// Neighbouring pages of one tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// Start address.
    pub address: u64,
    /// In bytes.
    pub size: u64,
    /// `user_tag`.
    pub tag: u32,
    /// The memory is that of a file.
    pub external_pager: bool,
    /// The region is another map, which processes share.
    pub is_submap: bool,
}

#[derive(Debug)]
struct Page {
    tag: u32,
    words: Vec<u32>,
}

/// The address space: pages of the process's own at growing distances, so that every array lands beside one
/// of them. Freeing more than an array takes its neighbour away.
#[derive(Debug)]
pub(crate) struct Memory {
    page_size: u64,
    pages: BTreeMap<u64, Page>,
}

impl Memory {
    pub(crate) fn new(page_size: u64) -> Self {
        assert!(
            page_size.is_power_of_two() && page_size >= 16,
            "page size {page_size}"
        );
        let mut memory = Self {
            page_size,
            pages: BTreeMap::new(),
        };
        for page in memory.own_pages() {
            memory.pages.insert(
                page,
                Page {
                    tag: TAG_MALLOC,
                    words: Vec::new(),
                },
            );
        }
        memory
    }

    /// At distances of 2, 3, 4… pages: gaps of 1, 2, 3… pages.
    fn own_pages(&self) -> Vec<u64> {
        (0..OWN_PAGES)
            .map(|nth| BASE + (nth + nth * (nth + 1) / 2) * self.page_size)
            .collect()
    }

    /// Whole pages for the words, in the first gap that they fit in.
    pub(crate) fn allocate(&mut self, words: &[u32], tag: u32) -> u64 {
        let per_page = (self.page_size / 4) as usize;
        let chunks: Vec<&[u32]> = words.chunks(per_page).collect();
        let size = chunks.len() as u64 * self.page_size;
        let mut address = BASE;
        for page in self.pages.keys() {
            if address + size <= *page {
                break;
            }
            address = page + self.page_size;
        }
        for (nth, words) in chunks.into_iter().enumerate() {
            let page = Page {
                tag,
                words: words.to_vec(),
            };
            self.pages.insert(address + nth as u64 * self.page_size, page);
        }
        address
    }

    /// Frees every page that the range touches (`mach_vm_deallocate` rounds its start down and its end up).
    /// An empty range is no error and frees nothing; neither is one where there is nothing.
    pub(crate) fn deallocate(&mut self, address: u64, size: u64) {
        if size == 0 {
            return;
        }
        let start = address - address % self.page_size;
        let end = (address + size).next_multiple_of(self.page_size);
        self.pages.retain(|page, _| !(start..end).contains(page));
    }

    /// The word at an address. Where there is no memory the process crashes, and so does this.
    pub(crate) fn word(&self, address: u64) -> u32 {
        let offset = address % self.page_size;
        let page = self.pages.get(&(address - offset));
        page.and_then(|page| page.words.get((offset / 4) as usize).copied())
            .unwrap_or_else(|| panic!("EXC_BAD_ACCESS at {address:#x}"))
    }

    /// All regions, ascending.
    pub(crate) fn regions(&self) -> Vec<Region> {
        let mut regions = FOREIGN_REGIONS.to_vec();
        for (address, page) in &self.pages {
            match regions.last_mut() {
                Some(last) if last.tag == page.tag && last.address + last.size == *address => {
                    last.size += self.page_size;
                }
                _ => regions.push(Region {
                    address: *address,
                    size: self.page_size,
                    tag: page.tag,
                    external_pager: false,
                    is_submap: false,
                }),
            }
        }
        regions
    }

    /// Bytes of arrays that arrived in messages, of whatever tag.
    pub(crate) fn array_bytes_held(&self) -> u64 {
        let arrays = self.pages.values().filter(|page| page.tag != TAG_MALLOC);
        arrays.count() as u64 * self.page_size
    }

    /// In bytes, all of it.
    pub(crate) fn size(&self) -> u64 {
        self.pages.len() as u64 * self.page_size
    }

    /// The process's own pages that somebody has freed.
    pub(crate) fn own_pages_lost(&self) -> usize {
        self.own_pages()
            .iter()
            .filter(|page| !self.pages.contains_key(page))
            .count()
    }

    /// The bytes that an array of so many words takes.
    pub(crate) fn array_bytes(&self, words: usize) -> u64 {
        (words as u64 * 4).next_multiple_of(self.page_size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: [u32; 6] = [1, 2, 3, 4, 5, 6];

    #[test]
    fn arrays_are_whole_pages_and_read_back() {
        for (page_size, bytes) in [(16, 32), (4096, 4096), (16_384, 16_384)] {
            let mut memory = Memory::new(page_size);
            let address = memory.allocate(&WORDS, TAG_MACH_MSG);
            let words: Vec<u32> = (0..6).map(|nth| memory.word(address + nth * 4)).collect();
            assert_eq!((words.as_slice(), memory.array_bytes_held()), (&WORDS[..], bytes));
            assert_eq!(memory.array_bytes(WORDS.len()), bytes);
            memory.deallocate(address, 24);
            assert_eq!((memory.array_bytes_held(), memory.own_pages_lost()), (0, 0));
        }
    }

    #[test]
    fn a_wrong_size_frees_too_little_or_the_neighbour() {
        for (size, left, lost) in [(0, 32, 0), (6, 16, 0), (16, 16, 0), (17, 0, 0), (33, 0, 1)] {
            let mut memory = Memory::new(16);
            let address = memory.allocate(&WORDS, TAG_MACH_MSG);
            memory.deallocate(address, size);
            assert_eq!(
                (memory.array_bytes_held(), memory.own_pages_lost()),
                (left, lost),
                "size {size}"
            );
        }
    }

    #[test]
    fn arrays_that_stay_add_bytes_but_merge_into_one_region() {
        let mut memory = Memory::new(16);
        memory.allocate(&[0; 4 * 10], TAG_MACH_MSG);
        let regions = memory.regions().len();
        memory.allocate(&[0; 4 * 10], TAG_MACH_MSG);
        assert_eq!(
            (memory.regions().len(), memory.array_bytes_held()),
            (regions, 2 * 160)
        );
    }

    #[test]
    fn arrays_of_other_tags_are_other_regions() {
        let mut memory = Memory::new(4096);
        for tag in [TAG_MACH_MSG, TAG_NONE] {
            let address = memory.allocate(&WORDS, tag);
            let regions = memory.regions();
            let region = regions.iter().find(|region| region.address == address);
            assert_eq!(region.map(|region| (region.tag, region.size)), Some((tag, 4096)));
        }
    }

    #[test]
    #[should_panic(expected = "EXC_BAD_ACCESS")]
    fn freed_memory_cannot_be_read() {
        let mut memory = Memory::new(4096);
        let address = memory.allocate(&WORDS, TAG_MACH_MSG);
        memory.deallocate(address, 24);
        memory.word(address);
    }
}
