// The links of /proc that lead somewhere without a path (proc(5): root, cwd, exe, fd/N), as a guest with a root of its own sees them:
// its own and those of its children lead where they would in a chroot; other processes' lead nowhere, and their directories are hidden.
import GuestMemory
import LinuxABI

/// Where a symbolic link leads.
enum LinkTarget {
  case text([UInt8])
  /// A file that is open already; `isOwned`: whoever asks closes it.
  case file(WalkStep, isOwned: Bool)
}

/// A link of /proc/PID that has no path.
struct MagicLink {
  enum Kind: Equatable { case root, workingDirectory, executable, descriptor(Int32), namespace, mapping }

  let process: Int64
  let kind: Kind

  /// From the host's path of the directory, `…/PID`, `…/PID/task/TID` or `…/PID/fd`, and the link's name.
  init?(directory: [UInt8], name: [UInt8]) {
    var parts = directory.split(separator: 47).map { String(decoding: $0, as: UTF8.self) }
    guard let last = parts.popLast() else { return nil }
    let text = String(decoding: name, as: UTF8.self)
    var owner = last
    switch last {
    case "fd":
      guard let number = Int32(text) else { return nil }
      kind = .descriptor(number)
      owner = parts.popLast() ?? ""
    case "ns":
      kind = .namespace
      owner = parts.popLast() ?? ""
    case "map_files":
      kind = .mapping
      owner = parts.popLast() ?? ""
    default:
      switch text {
      case "root": kind = .root
      case "cwd": kind = .workingDirectory
      case "exe": kind = .executable
      default: return nil
      }
    }
    guard let number = Int64(owner) else { return nil }
    process = number
  }
}

extension LinuxProcess {
  /// Whether a process, or thread, belongs to this guest.
  func isRelated(_ number: Int64) -> Bool {
    guard let root else { return isGuest(number) }
    if number == ownNumber { return true }
    let name = Array("/proc/\(number)/fd/\(root.token.descriptor)".utf8) + [0]
    return name.withUnsafeBytes { fileStatus(-100, address(of: $0.baseAddress), 0) }?.identity
      == root.token.identity
  }

  /// Names of /proc that do not exist for the guest: other processes, Vitrine's descriptors. Throws ENOENT.
  func checkVisible(_ name: ArraySlice<UInt8>, _ directory: WalkStep) throws(MemoryError) {
    guard let first = name.first, first >= 48, first <= 57,
      let number = Int64(String(decoding: name, as: UTF8.self))
    else { return }
    let topmost: UInt64 = 1
    if directory.status.identity.inode == topmost {
      if root?.mounts.contains(where: { $0.isProcesses }) ?? false, !isRelated(number) {
        throw WalkError.missing
      }
    } else if let own = Int32(exactly: number), descriptors.contains(own),
      let path = linkTarget(LinuxProcess.link(of: directory.descriptor)),
      LinuxProcess.isDescriptorFolder(path)
    {
      throw WalkError.missing
    }
  }

  /// Where a symbolic link in the directory `current` leads.
  func target(
    of link: WalkStep, name: ArraySlice<UInt8>, in current: WalkStep
  ) throws(MemoryError) -> LinkTarget {
    if let magic = magicLink(link, name, current) { return try follow(magic, name, current) }
    return .text(try linkText(link.descriptor))
  }

  func magicLink(_ link: WalkStep, _ name: ArraySlice<UInt8>, _ current: WalkStep) -> MagicLink? {
    guard isProcessFileSystem(Int64(link.descriptor)),
      let path = linkTarget(LinuxProcess.link(of: current.descriptor))
    else { return nil }
    return MagicLink(directory: path, name: Array(name))
  }

  /// The text of a symbolic link that is open.
  func linkText(_ descriptor: Int32) throws(MemoryError) -> [UInt8] {
    let text = withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 8) { buffer -> [UInt8]? in
      var empty: UInt8 = 0
      let length = withUnsafePointer(to: &empty) {
        host.call(267, PathWalk.word(descriptor), address(of: $0), address(of: buffer.baseAddress), 4096)
      }
      return length < 0 ? nil : Array(buffer.prefix(Int(length)))
    }
    guard let text else { throw WalkError.denied }
    return text
  }

  private func follow(
    _ magic: MagicLink, _ name: ArraySlice<UInt8>, _ current: WalkStep
  ) throws(MemoryError) -> LinkTarget {
    guard let root, isRelated(magic.process), magic.kind != .mapping else { throw WalkError.denied }
    let isOwn = magic.process == ownNumber
    switch magic.kind {
    case .root: return .file(root.start, isOwned: false)
    case .executable:
      let path =
        isOwn ? options.executable : OtherGuest(magic.process, self).executable.flatMap { root.guestPath($0) }
      guard let path else { throw WalkError.denied }
      return .text(path)
    case .descriptor(let number) where descriptors.contains(number): throw WalkError.missing
    default: break
    }
    let descriptor = try openPath(name, at: current.descriptor)
    do throws(MemoryError) {
      var step = WalkStep(descriptor: descriptor, status: try fileStatus(descriptor))
      step.mount = location(of: descriptor)?.mount
      if step.mount == nil { step.inherited = try inherited(magic, step.status, isOwn) }
      return .file(step, isOwned: true)
    } catch {
      _ = host.call(3, PathWalk.word(descriptor))
      throw error
    }
  }

  /// A file outside of all trees that a descriptor leads to: the guest has been given it. Another guest's are pipes, sockets
  /// and terminals only.
  private func inherited(_ magic: MagicLink, _ status: FileStatus, _ isOwn: Bool) throws(MemoryError)
    -> Int32?
  {
    let isFile = status.isRegular || status.isDirectory || status.type == 0o060000
    if isFile, !isOwn, magic.kind != .namespace { throw WalkError.denied }
    if case .descriptor(let number) = magic.kind, isOwn { return number }
    return nil
  }

  // MARK: Asking the host

  /// The name under which the host finds what a descriptor of this thread leads to.
  static func link(of descriptor: Int32) -> String {
    descriptor == -100 ? "/proc/thread-self/cwd" : "/proc/thread-self/fd/\(descriptor)"
  }

  /// Where an open file lies in the guest's trees; nil: outside.
  func location(of descriptor: Int32) -> (mount: Int, rest: [UInt8])? {
    guard let root, let path = linkTarget(LinuxProcess.link(of: descriptor)) else { return nil }
    if let found = root.locate(path) { return found }
    if path.first != 47 { return nil }
    root.refresh { self.linkTarget(LinuxProcess.link(of: $0)) }
    return root.locate(path)
  }

  func fileStatus(_ descriptor: Int32) throws(MemoryError) -> FileStatus {
    var empty: UInt8 = 0
    let emptyPath: UInt64 = 0x1000
    let status = withUnsafePointer(to: &empty) { fileStatus(descriptor, address(of: $0), emptyPath) }
    guard let status else { throw WalkError.badDescriptor }
    return status
  }

  func fileStatus(_ directory: Int32, _ name: UInt64, _ flags: UInt64) -> FileStatus? {
    withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 18) { words -> FileStatus? in
      let result = host.call(262, PathWalk.word(directory), name, address(of: words.baseAddress), flags)
      if result < 0 { return nil }
      return FileStatus(
        identity: FileIdentity(device: words[0], inode: words[1]), mode: UInt32(truncatingIfNeeded: words[3]))
    }
  }

  func isOnProcesses(_ status: FileStatus) -> Bool {
    root.map { status.identity.device == $0.processDevice } ?? false
  }
}
