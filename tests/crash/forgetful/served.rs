//! The kernel's calls to the forgetful file system. Its thread never touches the mount: it would wait for itself.

use super::kept::{Content, Folder, Kept, Node};
use fuser::*;
use std::ffi::OsStr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Only one process at a time uses it, so the kernel may remember what it was told.
const TTL: Duration = Duration::from_secs(1);

/// Where a mode says what a node is, and that it is a socket.
const KIND_MASK: u32 = 0o170_000;
const SOCKET: u32 = 0o140_000;

pub struct Calls(pub Arc<Mutex<Kept>>);

fn attributes(number: u64, node: &Node) -> FileAttr {
    let (kind, size, perm) = match node {
        Node::Folder(_) => (FileType::Directory, 0, 0o755),
        Node::File(content) => (FileType::RegularFile, content.bytes.len() as u64, 0o644),
        Node::Socket => (FileType::Socket, 0, 0o600),
    };
    FileAttr {
        ino: INodeNo(number),
        size,
        blocks: size.div_ceil(512),
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind,
        perm,
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

impl Calls {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().expect("no call panics")
    }
}

fn told(reply: ReplyEmpty, done: Option<()>) {
    match done {
        Some(()) => reply.ok(),
        None => reply.error(Errno::ENOENT),
    }
}

impl Filesystem for Calls {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let mut kept = self.kept();
        let number = kept.lookup(parent.0, name);
        match number.and_then(|number| Some((number, kept.node(number)?))) {
            Some((number, node)) => reply.entry(&TTL, &attributes(number, node), Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.kept().node(ino.0) {
            Some(node) => reply.attr(&TTL, &attributes(ino.0, node)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        _mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut kept = self.kept();
        if let Some((size, file)) = size.zip(kept.file(ino.0)) {
            file.set_length(size as usize);
        }
        match kept.node(ino.0) {
            Some(node) => reply.attr(&TTL, &attributes(ino.0, node)),
            None => reply.error(Errno::ENOENT),
        }
    }

    /// The socket on which a server is asked for backups.
    fn mknod(&self, _: &Request, parent: INodeNo, name: &OsStr, mode: u32, _umask: u32, _rdev: u32, reply: ReplyEntry) {
        let mut kept = self.kept();
        if mode & KIND_MASK != SOCKET {
            return reply.error(Errno::EPERM);
        }
        match kept.add(parent.0, name, Node::Socket) {
            Some(number) => reply.entry(&TTL, &attributes(number, &Node::Socket), Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, _mode: u32, _umask: u32, reply: ReplyEntry) {
        let mut kept = self.kept();
        match kept.add(parent.0, name, Node::Folder(Folder::default())) {
            Some(number) => {
                let attributes = attributes(number, kept.node(number).expect("just made"));
                reply.entry(&TTL, &attributes, Generation(0));
            }
            None => reply.error(Errno::ENOENT),
        }
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        let mut kept = self.kept();
        let there = kept.lookup(parent.0, name);
        match there.or_else(|| kept.add(parent.0, name, Node::File(Content::default()))) {
            Some(number) => {
                let attributes = attributes(number, kept.node(number).expect("it is there"));
                reply.created(&TTL, &attributes, Generation(0), FileHandle(0), FopenFlags::empty());
            }
            None => reply.error(Errno::ENOENT),
        }
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        told(reply, self.kept().remove(parent.0, name));
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let mut kept = self.kept();
        let number = kept.lookup(parent.0, name);
        match number.and_then(|number| kept.folder(number)).map(|folder| folder.names.is_empty()) {
            Some(true) => told(reply, kept.remove(parent.0, name)),
            Some(false) => reply.error(Errno::ENOTEMPTY),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        match flags.is_empty() {
            true => told(reply, self.kept().rename((parent.0, name), (newparent.0, newname))),
            false => reply.error(Errno::EINVAL),
        }
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.kept().file(ino.0) {
            Some(file) => {
                let from = file.bytes.len().min(offset as usize);
                reply.data(&file.bytes[from..file.bytes.len().min(from + size as usize)]);
            }
            None => reply.error(Errno::ENOENT),
        }
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.kept().file(ino.0) {
            Some(file) => {
                file.write(offset as usize, data);
                reply.written(data.len() as u32);
            }
            None => reply.error(Errno::ENOENT),
        }
    }

    /// Called when a file is closed: puts nothing on stable storage.
    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        told(reply, self.kept().file(ino.0).map(Content::sync));
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        told(reply, self.kept().folder(ino.0).map(Folder::sync));
    }

    fn readdir(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let mut kept = self.kept();
        let Some(folder) = kept.folder(ino.0) else { return reply.error(Errno::ENOENT) };
        // By number, so that what is removed meanwhile moves nothing.
        let mut names: Vec<_> = folder.names.iter().map(|(name, number)| (*number, name.clone())).collect();
        names.sort();
        for (number, name) in names.into_iter().filter(|(number, _)| *number > offset) {
            let kind = match kept.node(number) {
                Some(Node::Folder(_)) => FileType::Directory,
                Some(Node::Socket) => FileType::Socket,
                _ => FileType::RegularFile,
            };
            if reply.add(INodeNo(number), number, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let blocks = 1 << 20;
        reply.statfs(blocks, blocks, blocks, blocks, blocks, 4096, 255, 4096);
    }
}
