//! The layout of the Medical Segmentation Decathlon, and lists in its form.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dataset_json::{self, DatasetJson, ImageFiles, Pair, join};
use super::{DataSource, DatasetError, Incomplete, Listing, nnunet};
use crate::alignment::Role;
use crate::channels::{group_channels, split_channel, with_channel};
use crate::subject::Subject;
use volume::io::case_name;

/// A folder in the layout of the Medical Segmentation Decathlon: `dataset.json` lists pairs of images and label maps.
///
/// MONAI's lists of this form, with an image file or a list of them, one per channel, are read as well, and so are nnU-Net's
/// folders.
///
/// ```yaml
/// msd: { root: data/Task03_Liver }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MsdSource {
    /// Folder that contains `dataset.json`, such as `data/Task03_Liver`; relative to the working folder.
    pub root: PathBuf,
}

impl DataSource for MsdSource {
    fn list(&self, _cache_dir: &Path) -> Result<Listing, DatasetError> {
        let json = DatasetJson::read(&self.root)?;
        let Some(pairs) = json.training.as_ref().filter(|_| json.dataset.is_none()) else {
            return nnunet::list(&self.root, &json);
        };
        let is_visible = |pair: &&Pair| !case_name(Path::new(pair.first_image())).starts_with("._");
        let mut listing = Listing::default();
        for pair in pairs.iter().filter(is_visible) {
            let subject = subject(&self.root, pair, json.num_channels());
            if subject.label.is_none() {
                let reason = format!("{} lists no label for it", dataset_json::path(&self.root).display());
                listing.incomplete.push(Incomplete { subject: subject.name.clone(), role: Role::LabelMap, reason });
            }
            listing.subjects.push(subject);
        }
        if listing.subjects.is_empty() {
            let reason = "its list `training` is empty".to_owned();
            return Err(DatasetError::Empty { source_name: dataset_json::path(&self.root), reason });
        }
        Ok(json.describe(&self.root, listing))
    }
}

impl Pair {
    fn first_image(&self) -> &str {
        match &self.image {
            ImageFiles::One(image) => image,
            ImageFiles::PerChannel(images) => images.first().map_or("", |image| image),
        }
    }
}

/// Returns the subject of a listed pair. Images are listed with all channels, one by one, or as nnU-Net's version 1 does:
/// by the case name, without the numbers of the channel files.
fn subject(root: &Path, pair: &Pair, channels: Option<usize>) -> Subject {
    let label = pair.label.as_deref().map(|label| join(root, label));
    let image = join(root, pair.first_image());
    let name = case_name(&image);
    if let ImageFiles::PerChannel(images) = &pair.image
        && images.len() > 1
    {
        let images: Vec<PathBuf> = images.iter().map(|image| join(root, image)).collect();
        let name = match &group_channels(&images, Some(images.len()))[..] {
            [case] => case.name.clone(),
            _ => name,
        };
        return Subject { name, images, label };
    }
    let ending = image.file_name().map(|file| file.to_string_lossy()[name.len()..].to_owned()).unwrap_or_default();
    let count = channels.unwrap_or(1);
    let files = |case: &str| -> Vec<PathBuf> {
        (0..count).map(|channel| image.with_file_name(format!("{}{ending}", with_channel(case, channel)))).collect()
    };
    let first_of = split_channel(&name).filter(|(_, channel)| *channel == 0).map(|(case, _)| case);
    let exist = |case: &&str| files(case).iter().all(|file| file.is_file());
    let case = if image.is_file() {
        // The first of several channel files stands for all.
        first_of.filter(|_| count > 1).filter(exist)
    } else {
        Some(&name[..]).filter(|case| files(case)[0].is_file())
    };
    match case {
        Some(case) => Subject { name: case.to_owned(), images: files(case), label },
        None => Subject { name, images: vec![image], label },
    }
}
