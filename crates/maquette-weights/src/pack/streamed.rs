//! A stage whose shards are not in memory: each tensor is read when it is asked for.

use std::borrow::Cow;
use std::io;

use super::PackRange;
use super::read::StageTensors;
use crate::{Error, ModelConfig, Result, TensorInfo, TensorSource, TensorView};

/// One model of a pack whose shards stay where they are: a browser's private file system, files on disk, or memory of some other
/// kind. Made by [`super::Pack::streamed_stage`].
///
/// The reader is called as `read(shard, start, into)` and must fill all of `into` with the bytes of that shard (an index into
/// [`super::PackIndex::shards`]) from byte `start` on; a short read is an error. What goes wrong comes back as [`Error::Shard`];
/// an [`Error`] inside the `io::Error` is handed on as it is.
///
/// It is called once for each range of a tensor, every time that the tensor is asked for, and nothing is kept: memory holds the
/// tensors that the caller holds. Ranges lie inside their shards and do not overlap, so no tensor is larger than the shards
/// together; memory that cannot be had is an error.
///
/// The stage may be sent to or shared with other threads exactly where the reader may be.
#[derive(Clone)]
pub struct StreamedStage<R> {
    stage: StageTensors,
    read: R,
}

impl<R> std::fmt::Debug for StreamedStage<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StreamedStage({})", self.stage.origin)
    }
}

impl<R> StreamedStage<R> {
    pub(super) fn new(stage: StageTensors, read: R) -> Self {
        Self { stage, read }
    }

    /// Class and arguments of the model.
    pub fn config(&self) -> &ModelConfig {
        &self.stage.config
    }

    /// The shards that hold this stage, in order.
    pub fn shards(&self) -> &[usize] {
        &self.stage.shards
    }
}

impl<R: Fn(usize, u64, &mut [u8]) -> io::Result<()>> StreamedStage<R> {
    fn bytes(&self, name: &str, ranges: &[PackRange]) -> Result<Vec<u8>> {
        let origin = &self.stage.origin;
        let total = ranges.iter().try_fold(0usize, |n, r| n.checked_add(usize::try_from(r.end - r.start).ok()?));
        let mut bytes = Vec::new();
        if total.is_none_or(|n| bytes.try_reserve_exact(n).is_err()) {
            return Err(Error::unsupported(origin, format!("there is not enough memory for tensor `{name}`")));
        }
        for PackRange { shard, start, end } in ranges.iter().copied() {
            let filled = bytes.len();
            bytes.resize(filled + (end - start) as usize, 0);
            (self.read)(shard, start, &mut bytes[filled..]).map_err(|source| match source.downcast::<Error>() {
                Ok(own) => own,
                Err(source) => Error::Shard { origin: origin.clone(), shard, start, end, source },
            })?;
        }
        Ok(bytes)
    }
}

impl<R: Fn(usize, u64, &mut [u8]) -> io::Result<()>> TensorSource for StreamedStage<R> {
    fn names(&self) -> Vec<&str> {
        self.stage.names()
    }

    fn info(&self, name: &str) -> Option<&TensorInfo> {
        self.stage.info(name)
    }

    fn get(&self, name: &str) -> Result<TensorView<'_>> {
        let placed = self.stage.placed(name)?;
        let data = self.bytes(name, &placed.data)?;
        let scales = self.bytes(name, &placed.scales)?;
        Ok(TensorView::packed(&placed.info, Cow::Owned(data), Cow::Owned(scales)))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::pack::Pack;

    /// Two shards of ten and eight bytes: `cut` over both of them, and `packed` of 2×2 with its scales.
    const PACK: &str = r#"{"version":1,"model":"m","precision":"q8","license":"free",
        "pipeline":{"name":"P","args":{"models":{"m":"ckpts/m"}}},
        "bytes_by_dtype":{"U8":10,"Q8":8},"bytes":18,
        "shards":[{"file":"a.bin","bytes":10,"sha256":"0000000000000000000000000000000000000000000000000000000000000000"},
                  {"file":"b.bin","bytes":8,"sha256":"0000000000000000000000000000000000000000000000000000000000000000"}],
        "stages":{"m":{"config":{"name":"M","args":{}},"bytes":18,"tensors":[
            {"name":"cut","dtype":"U8","shape":[5,2],"data":[{"shard":0,"start":2,"end":10},{"shard":1,"start":0,"end":2}]},
            {"name":"packed","dtype":"Q8","shape":[2,2],"data":[{"shard":1,"start":2,"end":6}],
             "scales":[{"shard":1,"start":6,"end":8},{"shard":0,"start":0,"end":2}]}]}}}"#;

    const SHARDS: [&[u8]; 2] = [&[0, 0x40, 0, 1, 2, 3, 4, 5, 6, 7], &[8, 9, 1, 0xff, 2, 0xfe, 0, 0x3c]];

    fn read(shard: usize, start: u64, into: &mut [u8]) -> io::Result<()> {
        let start = start as usize;
        into.copy_from_slice(&SHARDS[shard][start..start + into.len()]);
        Ok(())
    }

    #[test]
    fn tensors_are_read_when_asked_for_and_nothing_more() {
        let pack = Pack::parse("pack.json", PACK.as_bytes()).unwrap();
        let calls = RefCell::new(Vec::new());
        let stage = pack
            .streamed_stage("m", |shard, start, into: &mut [u8]| {
                calls.borrow_mut().push((shard, start, into.len()));
                read(shard, start, into)
            })
            .unwrap();
        let source: &dyn TensorSource = &stage;
        assert_eq!((source.names(), stage.shards()), (vec!["cut", "packed"], &[0, 1][..]));
        assert_eq!(stage.config().class(), "M");
        assert_eq!(source.info("cut").unwrap().shape, [5, 2]);
        assert!(calls.borrow().is_empty());
        let cut = source.get("cut").unwrap();
        assert!(matches!(cut.clone().into_bytes(), Cow::Owned(_)));
        assert_eq!(cut.to_f32(), (0..10).map(|v| v as f32).collect::<Vec<_>>());
        assert_eq!(calls.take(), [(0, 2, 8), (1, 0, 2)]);
        // Scales 1 and 2.
        assert_eq!(source.get("packed").unwrap().to_f32(), [1.0, -1.0, 4.0, -4.0]);
        assert_eq!(calls.take(), [(1, 2, 4), (1, 6, 2), (0, 0, 2)]);
    }

    #[test]
    fn a_stage_in_memory_and_a_streamed_one_hand_out_the_same() {
        let pack = Pack::parse("pack.json", PACK.as_bytes()).unwrap();
        let streamed = pack.streamed_stage("m", read).unwrap();
        let mut held = pack.stage("m").unwrap();
        SHARDS.iter().enumerate().for_each(|(i, s)| held.insert(i, *s));
        for name in held.names() {
            let (a, b) = (streamed.get(name).unwrap(), held.get(name).unwrap());
            assert_eq!((a.bytes(), a.scales(), a.shape()), (b.bytes(), b.scales(), b.shape()));
        }
    }

    #[test]
    fn a_reader_that_fails_is_told_with_the_range() {
        let pack = Pack::parse("pack.json", PACK.as_bytes()).unwrap();
        let broken =
            |shard, _, _: &mut [u8]| if shard == 1 { Err(io::Error::other("the handle is closed")) } else { Ok(()) };
        let stage = pack.streamed_stage("m", broken).unwrap();
        let error = stage.get("cut").unwrap_err().to_string();
        assert_eq!(error, "pack.json: m: bytes 0..2 of shard 1 could not be read: the handle is closed");
        assert!(matches!(stage.get("cot"), Err(Error::MissingTensor { nearest: Some(n), .. }) if n == "cut"));
        assert!(pack.streamed_stage("n", read).is_err());
    }
}
