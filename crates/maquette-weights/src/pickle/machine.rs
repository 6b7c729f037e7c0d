//! The stack machine: only the opcodes that build plain data.

use std::collections::HashMap;

use super::allowed::{self, Callable};
use super::arena::{Arena, Node, Value};
use crate::{Error, Format, Result};

/// The number 0x1950a86a20f9469cfc6c, little-endian, that starts a legacy torch file.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// Values on the stack, and containers built, before a program counts as an attack: ten times what the largest model needs.
const MAX_VALUES: usize = 4 << 20;

/// Runs the program at the start of `program`; returns its value and how many bytes it took. `base` is the program's place in
/// the file, for messages.
pub(super) fn run(origin: &str, base: u64, program: &[u8], arena: &mut Arena) -> Result<(Value, usize)> {
    let mut machine = Machine { program, at: 0, stack: Vec::new(), marks: Vec::new(), memo: HashMap::new(), arena };
    loop {
        let place = machine.at;
        if machine.stack.len().max(machine.arena.len()) > MAX_VALUES {
            return Err(Error::malformed(
                origin,
                Format::Pickle,
                base + place as u64,
                format!("it builds more than {MAX_VALUES} values"),
            ));
        }
        match machine.step() {
            Ok(None) => {}
            Ok(Some(value)) => return Ok((value, machine.at)),
            Err(problem) => return Err(Error::malformed(origin, Format::Pickle, base + place as u64, problem)),
        }
    }
}

struct Machine<'p, 'a> {
    program: &'p [u8],
    at: usize,
    stack: Vec<Value>,
    /// Heights of the stack at which a MARK was set.
    marks: Vec<usize>,
    memo: HashMap<usize, Value>,
    arena: &'a mut Arena,
}

type Step<T> = std::result::Result<T, String>;

impl<'p> Machine<'p, '_> {
    fn step(&mut self) -> Step<Option<Value>> {
        let [opcode] = self.take_array()?;
        match opcode {
            b'.' => return self.pop().map(Some),
            0x80 => match self.take_array()? {
                [0..=5] => {}
                [p] => return Err(format!("pickle protocol {p} is not known; 0 to 5 are")),
            },
            0x95 => drop(self.take_array::<8>()?), // FRAME: only a hint about reading ahead
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_mark()?),
            b'2' => {
                let top = *self.stack.last().ok_or("the stack is empty")?;
                self.push(top);
            }
            b'N' => self.push(Value::None),
            0x88 => self.push(Value::Bool(true)),
            0x89 => self.push(Value::Bool(false)),
            b'G' => {
                self.take(8)?;
                self.push(Value::Float);
            }
            b'F' => {
                self.line()?;
                self.push(Value::Float);
            }
            b'K' | b'M' | b'J' | b'I' | b'L' | 0x8a | 0x8b => self.integer(opcode)?,
            b'X' | 0x8c | 0x8d | b'V' | b'U' | b'T' | b'S' | b'B' | b'C' | 0x8e => self.text(opcode)?,
            b')' | b't' | 0x85..=0x87 | b']' | b'l' | b'a' | b'e' | b'}' | b'd' | b's' | b'u' => self.container(opcode)?,
            b'q' | b'r' | b'p' | 0x94 | b'h' | b'j' | b'g' => self.memo(opcode)?,
            b'c' | 0x93 => self.global(opcode)?,
            b'R' => {
                let args = self.pop()?;
                let callable = self.pop()?;
                self.call(callable, args)?;
            }
            0x81 => return Err("NEWOBJ makes an object of a class; weights are stored as tensors in dictionaries. Load the file in its own code and save its state_dict()".into()),
            b'b' => {
                self.pop()?;
                let object = *self.stack.last().ok_or("the stack is empty")?;
                // Torch hangs `_metadata` on the dictionary, which holds versions of modules and no weights.
                if !matches!(self.arena.node(object), Some(Node::Dict(_) | Node::Tensor(_))) {
                    return Err(format!("BUILD sets the state of {}; only dictionaries and tensors may have one", self.arena.kind(object)));
                }
            }
            b'Q' => {
                let id = self.pop()?;
                let storage = allowed::persistent(self.arena, id)?;
                self.push(storage);
            }
            other => return Err(format!("opcode 0x{other:02x} is not one that plain weights need, and is not run")),
        }
        Ok(None)
    }

    fn call(&mut self, callable: Value, args: Value) -> Step<()> {
        let Value::Callable(callable) = callable else {
            return Err(format!("{} is called, expected a function", self.arena.kind(callable)));
        };
        let args = match self.arena.node(args) {
            Some(Node::Tuple(args)) => args.clone(),
            _ => return Err(format!("a function is called with {}, expected a tuple", self.arena.kind(args))),
        };
        let value = allowed::call(self.arena, callable, &args)?;
        self.push(value);
        Ok(())
    }

    fn integer(&mut self, opcode: u8) -> Step<()> {
        let value = match opcode {
            b'K' => i64::from(u8::from_le_bytes(self.take_array()?)),
            b'M' => i64::from(u16::from_le_bytes(self.take_array()?)),
            b'J' => i64::from(i32::from_le_bytes(self.take_array()?)),
            0x8a | 0x8b => {
                let length =
                    if opcode == 0x8a { usize::from(u8::from_le_bytes(self.take_array()?)) } else { self.length4()? };
                let bytes = self.take(length)?;
                if bytes == MAGIC {
                    self.push(Value::Magic);
                    return Ok(());
                }
                let negative = bytes.last().is_some_and(|b| b & 0x80 != 0);
                let mut wide = [if negative { 0xff } else { 0 }; 8];
                let target = wide
                    .get_mut(..length)
                    .ok_or_else(|| format!("a whole number of {length} bytes is larger than any size or index"))?;
                target.copy_from_slice(bytes);
                i64::from_le_bytes(wide)
            }
            _ => {
                let line = self.line()?;
                // Protocol 0 and 1 write booleans as the integers 00 and 01.
                if opcode == b'I' && (line == "00" || line == "01") {
                    self.push(Value::Bool(line == "01"));
                    return Ok(());
                }
                line.trim_end_matches('L').parse().map_err(|_| format!("{line:?} is not a whole number"))?
            }
        };
        self.push(Value::Int(value));
        Ok(())
    }

    fn text(&mut self, opcode: u8) -> Step<()> {
        let node = match opcode {
            b'V' | b'S' => {
                let line = self.line()?;
                let unquoted = ['\'', '"'].iter().find_map(|q| line.strip_prefix(*q)?.strip_suffix(*q));
                Node::Text(if opcode == b'S' { unquoted.ok_or("a string is not quoted")? } else { line }.to_owned())
            }
            _ => {
                let length = match opcode {
                    0x8c | b'U' | b'C' => usize::from(u8::from_le_bytes(self.take_array()?)),
                    0x8d | 0x8e => usize::try_from(u64::from_le_bytes(self.take_array()?)).unwrap_or(usize::MAX),
                    _ => self.length4()?,
                };
                let bytes = self.take(length)?;
                match opcode {
                    b'B' | b'C' | 0x8e => Node::Bytes,
                    _ => Node::Text(std::str::from_utf8(bytes).map_err(|_| "a string is not valid UTF-8")?.to_owned()),
                }
            }
        };
        let value = self.arena.add(node);
        self.push(value);
        Ok(())
    }

    fn container(&mut self, opcode: u8) -> Step<()> {
        let node = match opcode {
            b')' => Node::Tuple(Vec::new()),
            b']' => Node::List(Vec::new()),
            b'}' => Node::Dict(Vec::new()),
            b't' => Node::Tuple(self.pop_mark()?),
            b'l' => Node::List(self.pop_mark()?),
            0x85..=0x87 => {
                let count = usize::from(opcode - 0x84);
                let from =
                    self.stack.len().checked_sub(count).filter(|f| *f >= self.floor()).ok_or("the stack is empty")?;
                Node::Tuple(self.stack.split_off(from))
            }
            b'd' => Node::Dict(pairs(&self.pop_mark()?)?),
            b'a' | b'e' => {
                let items = if opcode == b'a' { vec![self.pop()?] } else { self.pop_mark()? };
                let list = *self.stack.last().ok_or("the stack is empty")?;
                let Some(Node::List(list)) = self.arena.node_mut(list) else {
                    return Err("something is appended to a value that is not a list".into());
                };
                list.extend(items);
                return Ok(());
            }
            _ => {
                let items = if opcode == b's' {
                    let value = self.pop()?;
                    vec![self.pop()?, value]
                } else {
                    self.pop_mark()?
                };
                let items = pairs(&items)?;
                let dict = *self.stack.last().ok_or("the stack is empty")?;
                let Some(Node::Dict(dict)) = self.arena.node_mut(dict) else {
                    return Err("a key is set on a value that is not a dictionary".into());
                };
                dict.extend(items);
                return Ok(());
            }
        };
        let value = self.arena.add(node);
        self.push(value);
        Ok(())
    }

    fn memo(&mut self, opcode: u8) -> Step<()> {
        let index = match opcode {
            b'q' | b'h' => usize::from(u8::from_le_bytes(self.take_array()?)),
            b'r' | b'j' => self.length4()?,
            0x94 => self.memo.len(),
            _ => {
                let line = self.line()?;
                line.parse().map_err(|_| format!("{line:?} is not a memo number"))?
            }
        };
        if matches!(opcode, b'h' | b'j' | b'g') {
            let value = self.memo.get(&index).copied().ok_or_else(|| format!("memo {index} is empty"))?;
            self.push(value);
            return Ok(());
        }
        let top = *self.stack.last().ok_or("the stack is empty")?;
        self.memo.insert(index, top);
        Ok(())
    }

    fn global(&mut self, opcode: u8) -> Step<()> {
        let (module, name) = if opcode == b'c' {
            (self.line()?.to_owned(), self.line()?.to_owned())
        } else {
            let (name, module) = (self.pop()?, self.pop()?);
            match (self.arena.text(module), self.arena.text(name)) {
                (Some(module), Some(name)) => (module.to_owned(), name.to_owned()),
                _ => return Err("a class is named by something other than strings".into()),
            }
        };
        let callable: Callable = allowed::lookup(&module, &name).ok_or_else(|| {
            format!("it refers to `{module}.{name}`, which is not among the names that weights need, and is refused. Load the file in its own code and save only its state_dict()")
        })?;
        self.push(Value::Callable(callable));
        Ok(())
    }

    fn push(&mut self, value: Value) {
        self.stack.push(value);
    }

    /// Values below the last MARK may not be taken by single pops.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Step<Value> {
        if self.stack.len() <= self.floor() {
            return Err("the stack is empty".into());
        }
        self.stack.pop().ok_or_else(|| "the stack is empty".into())
    }

    fn pop_mark(&mut self) -> Step<Vec<Value>> {
        let mark = self.marks.pop().ok_or("there is no mark on the stack")?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn take(&mut self, count: usize) -> Step<&'p [u8]> {
        let rest = self.program.get(self.at..).unwrap_or(&[]);
        let bytes = rest
            .get(..count)
            .ok_or_else(|| format!("the pickle ends early: {count} bytes are needed, {} are left", rest.len()))?;
        self.at += count;
        Ok(bytes)
    }

    fn take_array<const N: usize>(&mut self) -> Step<[u8; N]> {
        let bytes = self.take(N)?;
        bytes.first_chunk().copied().ok_or_else(|| "the pickle ends early".into())
    }

    fn length4(&mut self) -> Step<usize> {
        usize::try_from(u32::from_le_bytes(self.take_array()?)).map_err(|e| e.to_string())
    }

    fn line(&mut self) -> Step<&'p str> {
        let rest = self.program.get(self.at..).unwrap_or(&[]);
        let end = rest.iter().position(|b| *b == b'\n').ok_or("the pickle ends inside a line")?;
        self.at += end + 1;
        std::str::from_utf8(&rest[..end]).map_err(|_| "a line is not valid UTF-8".into())
    }
}

fn pairs(items: &[Value]) -> Step<Vec<(Value, Value)>> {
    if !items.len().is_multiple_of(2) {
        return Err("a dictionary is given a key without a value".into());
    }
    Ok(items.as_chunks::<2>().0.iter().map(|[k, v]| (*k, *v)).collect())
}
