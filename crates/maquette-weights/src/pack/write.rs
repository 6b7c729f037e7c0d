//! Writing packs, and turning them back into folders.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::read::hex;
use super::{FORMAT_VERSION, Pack, PackIndex, PackRange, PackShard, PackStageIndex, PackTensor, SHARD_LIMIT};
use crate::convert::{Precision, encode};
use crate::safetensors::packed::{self, PACKED_KEY, PackedEntry};
use crate::safetensors::write::{FileBeside, plain_bytes, write_whole};
use crate::{
    CheckpointRef, Error, IMAGE_ENCODER, ModelFolder, Result, SafetensorsWriter, TensorInfo, TensorSource,
    quant::Layout,
};

/// How a pack is made.
#[derive(Clone, Debug)]
pub struct PackOptions {
    /// Precision of the tensors.
    pub precision: Precision,
    /// Name of the model, for the page.
    pub model: String,
    /// Licence text of the weights, carried whole.
    pub license: String,
    /// Most bytes of a shard, at most [`SHARD_LIMIT`].
    pub shard_limit: u64,
    /// Model keys to leave out, such as a decoder that the page never runs.
    pub without: Vec<String>,
}

/// Fills shards one after another.
struct Shards<'p> {
    folder: &'p Path,
    limit: u64,
    done: Vec<PackShard>,
    open: Option<(FileBeside, PathBuf, u64, Sha256)>,
}

impl Shards<'_> {
    /// Makes room for `bytes` bytes that belong together: what does not fit the open shard starts a new one.
    fn begin(&mut self, bytes: u64) -> Result<()> {
        let used = self.open.as_ref().map_or(0, |s| s.2);
        if used > 0 && used + bytes > self.limit { self.close() } else { Ok(()) }
    }

    /// Lays the next bytes of a tensor, and adds to `ranges` where they are. Only a tensor larger than a whole shard is cut.
    fn append(&mut self, mut bytes: &[u8], ranges: &mut Vec<PackRange>) -> Result<()> {
        while !bytes.is_empty() {
            if self.open.as_ref().is_some_and(|s| s.2 >= self.limit) {
                self.close()?;
            }
            if self.open.is_none() {
                let path = self.folder.join(format!("shard-{:05}.bin", self.done.len()));
                self.open = Some((FileBeside::create(&path)?, path, 0, Sha256::new()));
            }
            let Some((file, path, length, digest)) = &mut self.open else {
                return Err(Error::unsupported("pack", "no shard is open"));
            };
            let room = usize::try_from(self.limit - *length).unwrap_or(usize::MAX);
            let (piece, rest) = bytes.split_at(room.min(bytes.len()));
            file.file()?.write_all(piece).map_err(Error::io(&*path))?;
            digest.update(piece);
            let (shard, start) = (self.done.len(), *length);
            *length += piece.len() as u64;
            match ranges.last_mut().filter(|r| r.shard == shard && r.end == start) {
                Some(range) => range.end = *length,
                None => ranges.push(PackRange { shard, start, end: *length }),
            }
            bytes = rest;
        }
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        let Some((file, path, bytes, digest)) = self.open.take() else { return Ok(()) };
        file.finish()?;
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        self.done.push(PackShard { file: name, bytes, sha256: hex(&digest.finalize()) });
        Ok(())
    }
}

/// The order in which the stages run, so that a page meets their shards in it; others follow by name.
fn run_order(key: &str) -> usize {
    let order = [
        IMAGE_ENCODER,
        "sparse_structure_flow_model",
        "sparse_structure_decoder",
        "slat_flow_model",
        "slat_decoder_gs",
        "slat_decoder_mesh",
    ];
    order.iter().position(|k| *k == key).unwrap_or(order.len())
}

/// Packs a model folder into the folder `out`; a pack that is there is overwritten. `progress` is told the bytes read so far.
///
/// # Errors
/// Those of the folder's models, of conversion, and [`Error::Io`].
pub fn pack_folder(
    folder: &ModelFolder,
    out: &Path,
    options: &PackOptions,
    progress: &mut dyn FnMut(u64),
) -> Result<PackIndex> {
    if !(1..=SHARD_LIMIT).contains(&options.shard_limit) {
        return Err(Error::unsupported(
            "pack",
            format!("a shard limit of {} bytes; expected 1 to {SHARD_LIMIT}", options.shard_limit),
        ));
    }
    std::fs::create_dir_all(out).map_err(Error::io(out))?;
    let file = out.join("pack.json");
    // The old index first: until the new one is there, the folder is no pack.
    if file.exists() {
        std::fs::remove_file(&file).map_err(Error::io(&file))?;
    }
    let mut keys: Vec<&str> = folder
        .pipeline()
        .models
        .keys()
        .map(String::as_str)
        .filter(|k| !options.without.iter().any(|w| w == k))
        .collect();
    if folder.image_cond_reference().is_some() {
        keys.push(IMAGE_ENCODER);
    }
    keys.sort_by_key(|k| (run_order(k), *k));
    let mut shards = Shards { folder: out, limit: options.shard_limit, done: Vec::new(), open: None };
    let (mut stages, mut by_dtype, mut read) = (BTreeMap::new(), BTreeMap::new(), 0);
    for key in keys {
        let reference =
            if key == IMAGE_ENCODER { folder.image_cond_checkpoint()? } else { Some(folder.checkpoint(key)?) };
        let Some(reference) = reference else { continue };
        let stage = stage(&reference, options.precision, &mut shards, &mut |bytes| {
            read += bytes;
            progress(read);
        })?;
        for t in &stage.tensors {
            *by_dtype.entry(t.dtype.clone()).or_default() +=
                t.data.iter().chain(&t.scales).map(|r| r.end - r.start).sum::<u64>();
        }
        // A stage's shards are its own, so that it can be fetched and dropped alone.
        shards.close()?;
        stages.insert(key.to_owned(), stage);
    }
    let pipeline = read_json(&folder.root().join("pipeline.json"))?;
    let index = PackIndex {
        version: FORMAT_VERSION,
        model: options.model.clone(),
        precision: options.precision.name().into(),
        license: options.license.clone(),
        pipeline,
        bytes_by_dtype: by_dtype,
        bytes: shards.done.iter().map(|s| s.bytes).sum(),
        shards: shards.done,
        stages,
    };
    let text = serde_json::to_vec(&index).map_err(|e| Error::unsupported("pack.json", e.to_string()))?;
    // Last, so that a folder with a pack.json is a whole pack.
    write_whole(&file, &text)?;
    Ok(index)
}

fn read_json(path: &Path) -> Result<Value> {
    let text = std::fs::read(path).map_err(Error::io(path))?;
    crate::strict_json::parse_value(&path.display().to_string(), &text)
}

fn stage(
    reference: &CheckpointRef,
    precision: Precision,
    shards: &mut Shards<'_>,
    progress: &mut dyn FnMut(u64),
) -> Result<PackStageIndex> {
    let checkpoint = reference.open()?;
    let mut tensors = Vec::new();
    for info in checkpoint.infos() {
        let (dtype, _) = precision.plan(info);
        let view = checkpoint.tensor(&info.name)?;
        let stored = TensorInfo { dtype, ..info.clone() };
        let bytes = Layout::of(dtype, &info.shape).map(|l| l.data_bytes() as u64).or_else(|| plain_bytes(&stored));
        shards.begin(bytes.unwrap_or(0))?;
        let (mut data, mut scales, mut scale_bytes) = (Vec::new(), Vec::new(), Vec::new());
        encode(&view, dtype, &mut |bytes, scales| {
            scale_bytes.extend_from_slice(scales);
            let put = shards.append(bytes, &mut data);
            checkpoint.release(&info.name);
            put
        })?;
        shards.begin(scale_bytes.len() as u64)?;
        shards.append(&scale_bytes, &mut scales)?;
        tensors.push(PackTensor {
            name: info.name.clone(),
            dtype: dtype.name().into(),
            shape: info.shape.clone(),
            data,
            scales,
        });
        progress(checkpoint.stored_bytes(&info.name));
    }
    let bytes = tensors.iter().flat_map(|t| t.data.iter().chain(&t.scales)).map(|r| r.end - r.start).sum();
    Ok(PackStageIndex { config: read_json(&reference.description)?, bytes, tensors })
}

/// Turns a pack back into a model folder, holding one shard and one tensor at a time; a shard is verified before any of it is
/// used. `progress` is told the bytes written so far.
///
/// # Errors
/// Those of [`Pack::parse`] and [`Pack::verify`], and [`Error::Io`].
pub fn unpack_folder(pack_folder: &Path, out: &Path, progress: &mut dyn FnMut(u64)) -> Result<()> {
    let file = pack_folder.join("pack.json");
    let pack = Pack::parse(&file.display().to_string(), &std::fs::read(&file).map_err(Error::io(&file))?)?;
    let held: RefCell<(usize, Vec<u8>)> = RefCell::new((usize::MAX, Vec::new()));
    let read = |shard: usize, start: u64, into: &mut [u8]| {
        let mut held = held.borrow_mut();
        // Tensors stand in the order of their shards, so each shard is loaded once.
        if held.0 != shard {
            // The old one goes first, so that there are never two.
            *held = (usize::MAX, Vec::new());
            *held = (shard, verified(&pack, pack_folder, shard).map_err(io::Error::other)?);
        }
        let start = start as usize;
        into.copy_from_slice(held.1.get(start..start + into.len()).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    };
    let mut done = 0;
    for (key, entry) in &pack.index().stages {
        let reference = if key == IMAGE_ENCODER {
            pack.pipeline().image_cond_reference(|_| true).unwrap_or(key)
        } else {
            pack.pipeline().model(key)?
        };
        let base = Path::new(reference).file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let ckpts = out.join("ckpts");
        std::fs::create_dir_all(&ckpts).map_err(Error::io(&ckpts))?;
        let stage = pack.streamed_stage(key, &read)?;
        write_stage(&stage, &ckpts.join(format!("{base}.safetensors")), &mut |bytes| {
            done += bytes;
            progress(done);
        })?;
        write_whole(&ckpts.join(format!("{base}.json")), format!("{:#}\n", entry.config).as_bytes())?;
    }
    write_whole(&out.join("pipeline.json"), format!("{:#}\n", pack.index().pipeline).as_bytes())
}

/// A shard's bytes, once they are known to be the right ones.
fn verified(pack: &Pack, folder: &Path, shard: usize) -> Result<Vec<u8>> {
    let PackShard { file, bytes: expected, .. } = &pack.index().shards[shard];
    let path = folder.join(file);
    // At most `SHARD_LIMIT`, which was checked.
    let mut bytes = Vec::with_capacity(*expected as usize + 1);
    let file = File::open(&path).map_err(Error::io(&path))?;
    // A file longer than it should be is not read to its end.
    file.take(expected + 1).read_to_end(&mut bytes).map_err(Error::io(&path))?;
    pack.verify(shard, &bytes)?;
    Ok(bytes)
}

fn write_stage(stage: &dyn TensorSource, target: &Path, progress: &mut dyn FnMut(u64)) -> Result<()> {
    let (mut tensors, mut packed_list) = (Vec::new(), BTreeMap::new());
    let infos: Vec<&TensorInfo> = stage.names().into_iter().filter_map(|n| stage.info(n)).collect();
    for info in &infos {
        match Layout::of(info.dtype, &info.shape) {
            Some(layout) => {
                tensors.extend(packed::stored(info, &layout));
                packed_list.insert(
                    info.name.clone(),
                    PackedEntry { form: info.dtype.name().into(), shape: info.shape.clone() },
                );
            }
            None => tensors.push((*info).clone()),
        }
    }
    let mut metadata = BTreeMap::new();
    if !packed_list.is_empty() {
        metadata.insert(PACKED_KEY.to_owned(), serde_json::json!(packed_list).to_string());
    }
    let mut writer = SafetensorsWriter::create(target, &tensors, &metadata)?;
    for info in infos {
        let view = stage.get(&info.name)?;
        writer.write(&info.name, view.bytes())?;
        if info.dtype.is_packed() {
            writer.write(&packed::scales_name(&info.name), view.scales())?;
        }
        progress((view.bytes().len() + view.scales().len()) as u64);
    }
    writer.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DType;
    use crate::convert::difference;
    use crate::test_support::goldens;

    fn options(precision: Precision, shard_limit: u64) -> PackOptions {
        PackOptions {
            precision,
            model: "tiny".into(),
            license: "free".into(),
            shard_limit,
            without: vec!["slat_decoder_rf".into()],
        }
    }

    fn packed(precision: Precision, limit: u64) -> (tempfile::TempDir, Pack) {
        let dir = tempfile::tempdir().unwrap();
        let folder = ModelFolder::open(goldens().join("trellis/model")).unwrap();
        pack_folder(&folder, dir.path(), &options(precision, limit), &mut |_| {}).unwrap();
        let pack = Pack::parse("pack.json", &std::fs::read(dir.path().join("pack.json")).unwrap()).unwrap();
        (dir, pack)
    }

    #[test]
    fn a_page_reads_stage_by_stage_what_the_folder_holds() {
        let folder = ModelFolder::open(goldens().join("trellis/model")).unwrap();
        for limit in [20_000, 300_000, SHARD_LIMIT] {
            let (dir, pack) = packed(Precision::F16, limit);
            assert_eq!(pack.index().stages.len(), 5);
            assert_eq!(pack.index().bytes, pack.index().stages.values().map(|s| s.bytes).sum::<u64>());
            assert_eq!(pack.index().bytes, pack.index().bytes_by_dtype.values().sum::<u64>());
            assert!(pack.index().shards.iter().all(|s| s.bytes <= limit));
            assert_eq!(pack.pipeline().models.len(), 6);
            for key in pack.index().stages.keys() {
                let reference = folder.checkpoint(key).unwrap();
                let source = reference.open().unwrap();
                let mut stage = pack.stage(key).unwrap();
                assert_eq!(
                    stage.config(),
                    &crate::ModelConfig { origin: stage.config().origin.clone(), ..reference.config }
                );
                let first = source.names()[0];
                assert!(stage.get(first).unwrap_err().to_string().contains("not loaded"));
                let mut ready = 0;
                for shard in stage.shards().to_vec() {
                    let bytes = std::fs::read(dir.path().join(&pack.index().shards[shard].file)).unwrap();
                    pack.verify(shard, &bytes).unwrap();
                    stage.insert(shard, bytes);
                    assert!(stage.ready().len() >= ready);
                    ready = stage.ready().len();
                }
                assert_eq!(ready, source.names().len());
                for name in source.names() {
                    assert_eq!(
                        stage.get(name).unwrap().to_f32(),
                        source.tensor(name).unwrap().to_f16().iter().map(|h| h.to_f32()).collect::<Vec<_>>(),
                        "{name}"
                    );
                }
            }
        }
    }

    #[test]
    fn tensors_are_cut_only_where_they_are_larger_than_a_shard() {
        let (_dir, pack) = packed(Precision::F32, 300_000);
        for t in pack.index().stages.values().flat_map(|s| &s.tensors) {
            let bytes: u64 = t.data.iter().map(|r| r.end - r.start).sum();
            assert_eq!(t.data.len() as u64 > 1, bytes > 300_000, "{}", t.name);
        }
    }

    #[test]
    fn unpacking_gives_a_folder_that_loads_with_the_same_values() {
        let dir = tempfile::tempdir().unwrap();
        for precision in [Precision::F32, Precision::Q8] {
            let (packed_dir, _) = packed(precision, 300_000);
            let out = dir.path().join(precision.name());
            unpack_folder(packed_dir.path(), &out, &mut |_| {}).unwrap();
            let (new, old) =
                (ModelFolder::open(&out).unwrap(), ModelFolder::open(goldens().join("trellis/model")).unwrap());
            let (a, b) = (
                new.checkpoint("slat_flow_model").unwrap().open().unwrap(),
                old.checkpoint("slat_flow_model").unwrap().open().unwrap(),
            );
            let apart = difference(&a, &b).unwrap();
            assert_eq!(apart.common.len(), b.names().len());
            assert!(apart.common.iter().all(|t| t.relative <= if precision == Precision::F32 { 0.0 } else { 0.02 }));
            assert_eq!(a.infos().any(|i| i.dtype == DType::Q8), precision == Precision::Q8);
        }
    }

    #[test]
    fn unpacking_tells_its_progress_tensor_by_tensor() {
        let (dir, pack) = packed(Precision::Q4 { group: 64 }, 20_000);
        assert!(pack.index().shards.len() > 20);
        let mut told = Vec::new();
        unpack_folder(dir.path(), &dir.path().join("out"), &mut |at| told.push(at)).unwrap();
        assert!(told.is_sorted());
        assert_eq!(told.len(), pack.index().stages.values().map(|s| s.tensors.len()).sum::<usize>());
        assert_eq!(told.last(), Some(&pack.index().bytes));
    }

    #[test]
    fn damaged_and_truncated_shards_are_told_from_good_ones() {
        let (dir, pack) = packed(Precision::F16, SHARD_LIMIT);
        let path = dir.path().join(&pack.index().shards[0].file);
        let good = std::fs::read(&path).unwrap();
        let mut damaged = good.clone();
        damaged[100] ^= 1;
        assert!(matches!(pack.verify(0, &damaged), Err(Error::Checksum { .. })));
        assert!(matches!(pack.verify(0, &good[1..]), Err(Error::Checksum { .. })));
        assert!(pack.verify(99, &good).is_err());
        std::fs::write(&path, damaged).unwrap();
        let out = dir.path().join("out");
        let error = unpack_folder(dir.path(), &out, &mut |_| {}).unwrap_err();
        assert!(matches!(error, Error::Checksum { .. }), "{error:?}");
        assert!(!out.join("ckpts/ss_flow_img_dit_T_8l8_fp16.safetensors").exists(), "a damaged stage is not written");
        assert!(ModelFolder::open(out).is_err(), "and the folder stays without its pipeline.json");
    }
}
