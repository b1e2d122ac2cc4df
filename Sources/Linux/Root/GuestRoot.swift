// What a guest with a root of its own (`--root`, `--bind`) has for a file system: one tree of the host's, and files and
// directories bound into it. This file knows which trees there are and where in them a host path lies; how a path is walked
// is in PathWalk.swift. A bind is found by the directory in which it stands and its name there, so that it need not
// exist in the tree, and moving directories about does not lead past it.
import GuestMemory
import LinuxABI

/// What the guest is to see.
public struct RootRequest: Sendable {
  /// A file or directory of the host that appears at `target` in the guest.
  public struct Bind: Sendable {
    public var source: [UInt8]
    public var target: [UInt8]
    public var isReadOnly: Bool

    public init(source: [UInt8], target: [UInt8], isReadOnly: Bool) {
      (self.source, self.target, self.isReadOnly) = (source, target, isReadOnly)
    }
  }

  /// The directory that becomes `/`; nil: the host's root stays.
  public var directory: [UInt8]?
  public var binds: [Bind] = []

  public init() {}

  public var isWanted: Bool { directory != nil || !binds.isEmpty }
}

/// Which file it is: the same for all its names.
struct FileIdentity: Hashable {
  var device: UInt64
  var inode: UInt64
}

/// What a walk has to know of a file.
struct FileStatus {
  var identity: FileIdentity
  /// Type and permissions (`st_mode`, inode(7)).
  var mode: UInt32

  var type: UInt32 { mode & 0o170000 }
  var isDirectory: Bool { type == 0o040000 }
  var isLink: Bool { type == 0o120000 }
  var isRegular: Bool { type == 0o100000 }
  var isDevice: Bool { type == 0o020000 || type == 0o060000 }
}

/// A file that is open with O_PATH; `descriptor` may be AT_FDCWD. `mount` is the tree by which it was reached, when that is known.
struct WalkStep {
  var descriptor: Int32
  var status: FileStatus
  var mount: Int?
  /// One of the guest's own descriptors that led to a file outside of all trees.
  var inherited: Int32?
}

/// A tree, or a single file, that the guest sees.
struct Mount {
  /// One of Vitrine's own descriptors.
  var descriptor: Int32
  var status: FileStatus
  /// Where it lies on the host, and where the guest sees it.
  var hostPath: [UInt8]
  var guestPath: [UInt8]
  /// The directory in which it stands and its name there; nil for the root.
  var parent: WalkStep?
  var name: [UInt8] = []
  var isReadOnly = false
  /// Devices can be opened.
  var hasDevices = true
  /// The process file system.
  var isProcesses = false
}

/// The trees of one guest, and what it takes for `/`.
final class GuestRoot {
  private(set) var mounts: [Mount] = []
  /// The mounts that stand in a directory.
  private var children: [FileIdentity: [Int]] = [:]
  /// Directories above a mount, which may not be moved: a path would lead past it.
  private(set) var ancestors: Set<FileIdentity> = []
  /// The guest's root: that of the first tree until chroot(2).
  var start: WalkStep
  /// The guest's path of `start` after chroot(2); empty before.
  var startPath: [UInt8] = []
  /// With whom `start` is shared (CLONE_FS).
  var shared: SharedRoot?
  /// A file that only processes of this guest have open, under the same number: tells them from others.
  let token: (descriptor: Int32, identity: FileIdentity)
  /// Names of UNIX sockets as the guest gave them.
  let names: SocketNames
  /// Descriptors with entries of mounts already told (getdents(2)).
  var listed: Set<Int32> = []
  private(set) var hasReadOnly = false
  /// Descriptors of walks whose calls are waiting while other threads run.
  var waiting: [Int32] = []
  /// The device of /proc.
  var processDevice: UInt64?

  init(_ first: Mount, token: (descriptor: Int32, identity: FileIdentity), names: SocketNames) {
    mounts = [first]
    start = WalkStep(descriptor: first.descriptor, status: first.status, mount: 0)
    self.token = token
    self.names = names
  }

  /// Adds a tree. `above` are the directories from the root to its place.
  func add(_ mount: Mount, above: [FileIdentity]) {
    guard let parent = mount.parent else { return }
    children[parent.status.identity, default: []].append(mounts.count)
    ancestors.formUnion(above)
    ancestors.insert(parent.status.identity)
    if mount.isReadOnly { hasReadOnly = true }
    mounts.append(mount)
  }

  /// The mount that hides `name` in a directory; the last one that was put there.
  func mount(in directory: FileIdentity, _ name: some Collection<UInt8>) -> Int? {
    guard let numbers = children[directory] else { return nil }
    return numbers.last { mounts[$0].name.elementsEqual(name) }
  }

  /// What stands in a directory.
  func mounts(in directory: FileIdentity) -> [Mount] { (children[directory] ?? []).map { mounts[$0] } }

  func step(_ number: Int) -> WalkStep {
    WalkStep(descriptor: mounts[number].descriptor, status: mounts[number].status, mount: number)
  }

  // MARK: Paths of the host

  /// The tree in which a host path lies, and the rest of the path in it, without a slash in front.
  func locate(_ path: some Collection<UInt8>) -> (mount: Int, rest: [UInt8])? {
    var best: (mount: Int, length: Int)?
    for (number, mount) in mounts.enumerated() {
      let prefix = mount.hostPath == [47] ? [] : mount.hostPath
      guard path.starts(with: prefix), prefix.count >= best?.length ?? 0 else { continue }
      let rest = path.dropFirst(prefix.count)
      if rest.isEmpty || (rest.first == 47 && mount.status.isDirectory) { best = (number, prefix.count) }
    }
    guard let best else { return nil }
    return (best.mount, Array(path.dropFirst(best.length + 1)))
  }

  /// The guest's name of a host path; nil when it lies outside of what the guest can reach.
  func guestPath(_ path: some Collection<UInt8>) -> [UInt8]? {
    locate(path).flatMap { inside(fullPath($0)) }
  }

  /// The path of a place in the first tree and what is bound into it, whatever chroot(2) has made of `/`; empty for the root.
  func fullPath(_ place: (mount: Int, rest: [UInt8])) -> [UInt8] {
    let base = mounts[place.mount].guestPath
    return (base == [47] ? [] : base) + (place.rest.isEmpty ? [] : [47] + place.rest)
  }

  /// The same path after chroot(2); nil when it lies outside.
  func inside(_ path: [UInt8]) -> [UInt8]? {
    guard path.starts(with: startPath) else { return nil }
    let result = Array(path.dropFirst(startPath.count))
    if let first = result.first, first != 47 { return nil }
    return result.isEmpty ? [47] : result
  }

  /// For people and programs: never a path of the host.
  func shownPath(_ path: some Collection<UInt8>) -> [UInt8] {
    guard path.first == 47 else { return Array(path) }
    // What the kernel makes up for files that lie nowhere: shared memory of all kinds.
    let isMadeUp = path.starts(with: "/memfd:".utf8) || path.starts(with: "/SYSV".utf8)
    if isMadeUp, !path.dropFirst().contains(47), path.suffix(10).elementsEqual(" (deleted)".utf8) {
      return Array(path)
    }
    return guestPath(path) ?? Array("(unreachable)".utf8)
  }

  /// Looks again where the trees lie: somebody outside may have moved them.
  func refresh(_ path: (Int32) -> [UInt8]?) {
    for number in mounts.indices {
      if let found = path(mounts[number].descriptor) { mounts[number].hostPath = found }
    }
  }
}
