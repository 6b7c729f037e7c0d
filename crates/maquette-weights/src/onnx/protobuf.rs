//! The protobuf wire format: fields of one message, as borrowed slices.

/// A field's value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wire<'a> {
    Varint(u64),
    Fixed64,
    Fixed32([u8; 4]),
    /// Bytes, and their place in the file.
    Bytes(&'a [u8], usize),
}

/// A message being read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    bytes: &'a [u8],
    /// Place of the next field in the file.
    at: usize,
}

/// What is wrong, and where.
pub(super) type Problem = (usize, String);

impl<'a> Message<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    /// The next field's number and value; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(u32, Wire<'a>)>, Problem> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        let start = self.at;
        let tag = self.varint()?;
        let field = u32::try_from(tag >> 3)
            .ok()
            .filter(|f| *f > 0)
            .ok_or_else(|| (start, format!("field number {} is not valid", tag >> 3)))?;
        let value = match tag & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => {
                self.take(8)?;
                Wire::Fixed64
            }
            2 => {
                let length = self.varint()?;
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                let at = self.at;
                Wire::Bytes(self.take(length)?, at)
            }
            5 => {
                let bytes = self.take(4)?;
                Wire::Fixed32(bytes.first_chunk().copied().unwrap_or_default())
            }
            other => return Err((start, format!("wire type {other} is not valid in ONNX"))),
        };
        Ok(Some((field, value)))
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Problem> {
        let Some((taken, rest)) = self.bytes.split_at_checked(count) else {
            return Err((
                self.at,
                format!("a field claims {count} bytes, {} are left in its message", self.bytes.len()),
            ));
        };
        self.bytes = rest;
        self.at += count;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, Problem> {
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let byte = self.take(1)?[0];
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                break;
            }
            value |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err((self.at, "a number is longer than 64 bits".into()))
    }
}

/// The varints of a packed or single repeated field.
pub(super) fn varints(wire: Wire<'_>, out: &mut Vec<u64>) -> Result<(), Problem> {
    match wire {
        Wire::Varint(v) => out.push(v),
        Wire::Bytes(bytes, at) => {
            let mut message = Message::new(bytes, at);
            while !message.bytes.is_empty() {
                out.push(message.varint()?);
            }
        }
        _ => {}
    }
    Ok(())
}
