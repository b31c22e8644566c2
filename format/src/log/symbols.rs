//! Sections of the program's modules, put together from their pieces.
//!
//! # Invariant
//! A section is whole or is not given: its pieces follow each other without a hole and agree in how
//! long it is. Where their blocks lie says nothing, since closing moves blocks.

use super::{Log, ReadError, scan};
use crate::id::ModuleId;
use crate::layout::frame::Frames;
use crate::layout::{BlockHeader, BlockKind};
use crate::meta::{self, BlockRecord, Section, SectionPiece};
use crate::units::FileOffset;

impl Log {
    /// Whether any symbols of this module were copied into the log.
    pub fn has_symbols(&self, module: ModuleId) -> bool {
        self.symbol_blocks(module).next().is_some()
    }

    /// The sections of a module that were copied into the log, by name.
    ///
    /// # Errors
    /// [`ReadError`] if a block of them is damaged; see [`Log::symbols_readable`] for the others.
    pub fn symbols(&self, module: ModuleId) -> Result<Vec<Section>, ReadError> {
        let (sections, error) = self.symbols_readable(module);
        error.map_or(Ok(sections), Err)
    }

    /// The sections of a module that can be read whole, and the first error if others cannot.
    pub fn symbols_readable(&self, module: ModuleId) -> (Vec<Section>, Option<ReadError>) {
        let mut problem = None;
        let mut pieces = Vec::new();
        for block in self.symbol_blocks(module) {
            match self.section_piece(block) {
                Ok(piece) => pieces.push((piece, block)),
                Err(error) => {
                    problem.get_or_insert(error);
                }
            }
        }
        // Blocks may have been moved: their order says nothing.
        pieces.sort_by(|(a, _), (b, _)| (&a.name, a.at).cmp(&(&b.name, b.at)));
        let mut sections = Vec::new();
        for pieces in pieces.chunk_by(|(a, _), (b, _)| a.name == b.name) {
            match self.section(pieces) {
                Ok(section) => sections.push(section),
                Err(error) => {
                    problem.get_or_insert(error);
                }
            }
        }
        (sections, problem)
    }

    fn symbol_blocks(&self, module: ModuleId) -> impl Iterator<Item = &BlockRecord> {
        self.blocks.iter().filter(move |block| {
            block.kind == BlockKind::Symbols.tag() && block.owner == module.as_u32()
        })
    }

    /// What a piece of a section says of itself. Its block's checksum is not checked yet.
    fn section_piece(&self, block: &BlockRecord) -> Result<SectionPiece, ReadError> {
        let at = FileOffset(block.at);
        let header = BlockHeader::decode(&self.bytes, block.at)?;
        scan::check_block(&header, block)?;
        let mut frames = Frames::new(header.payload(&self.bytes)?);
        let raw = frames.next_frame().map_err(|source| ReadError::Frame { at, source })?;
        let piece = meta::decode_section_piece(raw.unwrap_or_default());
        piece.map_err(|source| ReadError::Record { at, source })
    }

    /// Puts a section's pieces together, which come in order.
    fn section(&self, pieces: &[(SectionPiece, &BlockRecord)]) -> Result<Section, ReadError> {
        let Some((first, block)) = pieces.first() else { return Ok(Section::default()) };
        let mut section =
            Section { name: first.name.clone(), address: first.address, bytes: Vec::new() };
        let mismatch = |at: u64, have: usize| ReadError::Mismatch {
            at: FileOffset(at),
            found: format!("section {} with {have} bytes before this", first.name),
            expected: format!("all of its {} bytes, in order", first.total_len),
        };
        for (piece, block) in pieces {
            let at = FileOffset(block.at);
            let have = section.bytes.len();
            if (piece.at, piece.total_len, piece.address)
                != (have as u64, first.total_len, first.address)
            {
                return Err(mismatch(block.at, have));
            }
            let mut frames = Frames::new(self.block_payload(block)?);
            let frame = |source| ReadError::Frame { at, source };
            frames.next_frame().map_err(frame)?;
            section
                .bytes
                .extend_from_slice(frames.next_frame().map_err(frame)?.unwrap_or_default());
        }
        if section.bytes.len() as u64 == first.total_len {
            Ok(section)
        } else {
            Err(mismatch(block.at, section.bytes.len()))
        }
    }
}
