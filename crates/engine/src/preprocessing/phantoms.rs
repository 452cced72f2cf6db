//! Synthetic datasets that an experiment names as its source.

use std::path::Path;

use dataset::queue::MakeError;
use dataset::sources;

/// Writes the phantoms of an experiment below the cache folder, unless they exist; `report` receives the number of
/// subjects that have been written and the total.
///
/// # Errors
/// When the phantoms cannot be listed or written.
pub fn make_phantoms(
    source: &sources::Source,
    cache_dir: &Path,
    report: &mut dyn FnMut(usize, usize),
) -> Result<(), MakeError> {
    let Some(generator) = source.component().generator() else { return Ok(()) };
    if let Some(folder) = sources::list(source, cache_dir)?.generated_in {
        generator.write(&folder, report)?;
    }
    Ok(())
}
