// Walks a guest's path component by component through the trees of its root, with a descriptor for each directory, as the
// kernel does it inside a chroot: the result is a descriptor, or a directory's descriptor and a name in it that is not followed any further.
// Nothing is looked up twice, so that a name that changes meanwhile cannot lead outside. The descriptors live under numbers that the
// guest could name; no other thread of it runs a system call while the address space's lock is held (Docs/root.md).
import GuestMemory
import LinuxABI

/// What a walk does with the last component.
struct WalkPurpose: OptionSet {
  let rawValue: UInt16
  /// A symbolic link there is followed.
  static var follow: WalkPurpose { WalkPurpose(rawValue: 1) }
  /// It need not exist.
  static var mayBeMissing: WalkPurpose { WalkPurpose(rawValue: 2) }
  /// It is not looked at: the caller makes, removes or renames it.
  static var entry: WalkPurpose { WalkPurpose(rawValue: 4) }
  /// openat2(2): RESOLVE_NO_XDEV, NO_MAGICLINKS, NO_SYMLINKS, BENEATH, IN_ROOT.
  static var sameMount: WalkPurpose { WalkPurpose(rawValue: 8) }
  static var noMagicLinks: WalkPurpose { WalkPurpose(rawValue: 16) }
  static var noLinks: WalkPurpose { WalkPurpose(rawValue: 32) }
  static var beneath: WalkPurpose { WalkPurpose(rawValue: 64) }
  static var inDirectory: WalkPurpose { WalkPurpose(rawValue: 128) }
  /// The directory and the name are wanted too.
  static var withName: WalkPurpose { WalkPurpose(rawValue: 256) }
}

/// Where a path leads.
struct Place {
  /// What is there; nil when it is missing or was not looked at.
  var object: WalkStep?
  /// The directory of the last component, and its name, perhaps with a slash; nil when the path ends in no name of its own.
  var parent: WalkStep?
  var name: [UInt8] = []
  /// Something is bound there.
  var mount: Int?
}

/// One walk. Owns the descriptors that it opens until `finish`.
final class PathWalk {
  let process: LinuxProcess
  let root: GuestRoot
  private(set) var opened: [Int32] = []
  private var current: WalkStep
  /// The directories that led to `current`, for "..".
  private var ancestors: [WalkStep] = []
  private var pending: [ArraySlice<UInt8>] = []
  private var purpose: WalkPurpose = []
  /// Where the walk began: a root for RESOLVE_IN_ROOT, a limit for RESOLVE_BENEATH.
  private var base: WalkStep
  private var links = 0
  /// The walk has begun at the root, or has met it.
  private var knowsRoot = false

  private static let maximumLinks = 40
  /// More ancestors are not kept open; "..", beyond them, asks the kernel.
  private static let keptAncestors = 24
  static let pathOnly: UInt64 = 0x200000
  static let noFollow: UInt64 = 0x20000
  static let closeOnExec: UInt64 = 0x80000

  init(_ process: LinuxProcess, _ root: GuestRoot) {
    (self.process, self.root) = (process, root)
    current = root.start
    base = root.start
  }

  /// Walks `path` from the directory `descriptor`. Throws the kernel's error.
  func walk(_ descriptor: Int32, _ path: [UInt8], _ purpose: WalkPurpose) throws(MemoryError) -> Place {
    if path.isEmpty { throw WalkError.missing }
    self.purpose = purpose
    let scoped = !purpose.isDisjoint(with: [.beneath, .inDirectory])
    let isAbsolute = path[0] == 47
    if isAbsolute, purpose.contains(.beneath) { throw WalkError.otherDevice }
    current = isAbsolute && !scoped ? root.start : try directory(descriptor)
    base = scoped ? current : root.start
    knowsRoot = isAbsolute || scoped
    links = 0
    ancestors.removeAll(keepingCapacity: true)
    pending = PathWalk.components(path[...]).reversed()
    if let place = try quickly(path, isAbsolute) { return place }
    return try walkComponents()
  }

  /// Closes what has been opened.
  func finish() {
    for descriptor in opened { close(descriptor) }
    opened.removeAll()
  }

  /// Takes a descriptor out of the walk's hands.
  func keep(_ descriptor: Int32) { opened.removeAll { $0 == descriptor } }

  // MARK: Components

  /// The names in a path; an empty one at the end stands for a slash there.
  static func components(_ path: ArraySlice<UInt8>) -> [ArraySlice<UInt8>] {
    var result = path.split(separator: 47)
    if path.last == 47, !result.isEmpty { result.append([]) }
    return result
  }

  private func walkComponents() throws(MemoryError) -> Place {
    while let name = pending.popLast() {
      let hasSlash = pending.count == 1 && pending[0].isEmpty
      let isFinal = pending.isEmpty || hasSlash
      if name.isEmpty { continue }
      if name.elementsEqual(".".utf8) || name.elementsEqual("..".utf8) {
        try checkSearch()
        if isFinal, purpose.contains(.entry) { return Place(parent: current, name: Array(name)) }
        if name.count == 2 { try ascend() }
        continue
      }
      let mount = root.mount(in: current.status.identity, name)
      if isFinal, !purpose.isDisjoint(with: [.entry, .mayBeMissing]) {
        try checkSearch()
        // open(2) makes no directories.
        if hasSlash, purpose.contains(.mayBeMissing) { throw MemoryError(21) }
      }
      if isFinal, purpose.contains(.entry) {
        return Place(parent: current, name: Array(name) + (hasSlash ? [47] : []), mount: mount)
      }
      if mount != nil, purpose.contains(.sameMount) { throw WalkError.otherDevice }
      guard let step = try lookUp(name, mount, isFinal) else {
        return Place(parent: current, name: Array(name))
      }
      if step.status.isLink {
        if isFinal, !hasSlash, !purpose.contains(.follow) {
          return Place(object: step, parent: current, name: Array(name), mount: mount)
        }
        if try follow(step, name) { continue }
        return Place(object: current)
      }
      if isFinal {
        if hasSlash, !step.status.isDirectory { throw WalkError.notDirectory }
        return Place(object: step, parent: current, name: Array(name), mount: mount)
      }
      if !step.status.isDirectory { throw WalkError.notDirectory }
      descend(step)
    }
    return Place(object: current)
  }

  /// What `name` in the current directory is; nil when it may be missing and is.
  private func lookUp(
    _ name: ArraySlice<UInt8>, _ mount: Int?, _ isFinal: Bool
  ) throws(MemoryError) -> WalkStep? {
    if let mount { return root.step(mount) }
    if current.status.identity.device == root.processDevice { try process.checkVisible(name, current) }
    do throws(MemoryError) {
      return try open(name, PathWalk.noFollow)
    } catch {
      if error == WalkError.missing, isFinal, purpose.contains(.mayBeMissing) { return nil }
      throw error
    }
  }

  /// A descriptor of `name` in the current directory.
  private func open(_ name: some Collection<UInt8>, _ flags: UInt64) throws(MemoryError) -> WalkStep {
    let descriptor = try process.openPath(name, at: current.descriptor, flags)
    opened.append(descriptor)
    return WalkStep(descriptor: descriptor, status: try process.fileStatus(descriptor), mount: current.mount)
  }

  private func descend(_ step: WalkStep) {
    ancestors.append(current)
    current = step
    if ancestors.count > PathWalk.keptAncestors { drop(ancestors.removeFirst()) }
  }

  private func drop(_ step: WalkStep) {
    guard let place = opened.lastIndex(of: step.descriptor) else { return }
    opened.remove(at: place)
    close(step.descriptor)
  }

  private func close(_ descriptor: Int32) { _ = process.host.call(3, PathWalk.word(descriptor)) }

  static func word(_ descriptor: Int32) -> UInt64 { UInt64(bitPattern: Int64(descriptor)) }

  /// "." and ".." need permission to search the directory, as names do.
  private func checkSearch() throws(MemoryError) {
    drop(try open([46], 0))
  }

  // MARK: Where a walk begins, and up

  private func directory(_ descriptor: Int32) throws(MemoryError) -> WalkStep {
    if process.descriptors.contains(descriptor) { throw WalkError.badDescriptor }
    let status = try process.fileStatus(descriptor)
    if !status.isDirectory { throw WalkError.notDirectory }
    // Another process may change the directory in the middle of the walk.
    if descriptor == -100, root.shared != nil {
      current.descriptor = descriptor
      return try open([46], 0)
    }
    return WalkStep(descriptor: descriptor, status: status, mount: nil)
  }

  /// "..": from a mount to the directory in which it stands, from the root nowhere.
  private func ascend() throws(MemoryError) {
    knowsRoot = true
    if let last = ancestors.popLast() {
      if last.mount != current.mount, purpose.contains(.sameMount) { throw WalkError.otherDevice }
      drop(current)
      current = last
      return
    }
    let isBase = current.status.identity == base.status.identity
    if isBase, purpose.contains(.beneath) { throw WalkError.otherDevice }
    if isBase || current.status.identity == root.start.status.identity { return }
    // A descriptor or working directory is where the walk began. One from outside has no parent here.
    guard let place = process.location(of: current.descriptor) else { return }
    if place.rest.isEmpty {
      guard let parent = root.mounts[place.mount].parent else { return }
      current = parent
      return
    }
    let parent = try open("..".utf8, 0)
    guard let above = process.location(of: parent.descriptor) else { throw WalkError.missing }
    drop(current)
    current = parent
    current.mount = above.mount
  }

  // MARK: Symbolic links

  /// Follows a symbolic link; false when it was the last component and leads to `current` at once.
  private func follow(_ link: WalkStep, _ name: ArraySlice<UInt8>) throws(MemoryError) -> Bool {
    links += 1
    if links > PathWalk.maximumLinks || purpose.contains(.noLinks) { throw WalkError.loop }
    switch try process.target(of: link, name: name, in: current) {
    case .text(let text):
      drop(link)
      if text.isEmpty { throw WalkError.missing }
      var names = PathWalk.components(text[...])
      if !pending.isEmpty, let last = names.last, last.isEmpty { names.removeLast() }
      if text[0] == 47 {
        // The kernel compares with a root that it does not know yet.
        if purpose.contains(.beneath) || (purpose.contains(.sameMount) && !knowsRoot) {
          throw WalkError.otherDevice
        }
        knowsRoot = true
        for step in ancestors + [current] { drop(step) }
        ancestors.removeAll()
        current = base
      }
      // "/" alone as the last component.
      if names.isEmpty, pending.isEmpty { return false }
      pending += names.reversed()
      return true
    case .file(let step, let isOwned):
      if isOwned { opened.append(step.descriptor) }
      if !purpose.isDisjoint(with: [.noMagicLinks, .beneath, .inDirectory]) { throw WalkError.loop }
      ancestors.removeAll()
      current = step
      if pending.isEmpty { return false }
      if !step.status.isDirectory { throw WalkError.notDirectory }
      return true
    }
  }

  // MARK: The quick way

  /// An absolute path without "..", of which the kernel says that no symbolic link is on the way: one call. Nil: walk.
  private func quickly(_ path: [UInt8], _ isAbsolute: Bool) throws(MemoryError) -> Place? {
    let isPlain = purpose.isSubset(of: [.follow, .mayBeMissing])
    guard isAbsolute, isPlain, root.startPath.isEmpty, !pending.isEmpty, pending[0] != [],
      !pending.contains(where: { $0.elementsEqual("..".utf8) })
    else { return nil }
    let names = pending.reversed().filter { !$0.elementsEqual(".".utf8) }
    let text = names.reduce(into: [UInt8]()) { $0 += [47] + $1 }
    var best = 0
    for (number, mount) in root.mounts.enumerated().dropFirst()
    where text.starts(with: mount.guestPath) && mount.guestPath.count >= root.mounts[best].guestPath.count {
      let next = text.dropFirst(mount.guestPath.count).first
      if next == nil || next == 47 { best = number }
    }
    let mount = root.mounts[best]
    let rest = best == 0 ? Array(text.dropFirst()) : Array(text.dropFirst(mount.guestPath.count + 1))
    if mount.isProcesses || mount.status.isLink || rest.isEmpty || path.last == 46 { return nil }
    // struct open_how; RESOLVE_NO_MAGICLINKS, NO_SYMLINKS, BENEATH.
    let flags = PathWalk.pathOnly | PathWalk.closeOnExec
    let how: [UInt64] = [flags | (purpose.contains(.follow) ? 0 : PathWalk.noFollow), 0, 0x0e]
    let result = (rest + [0]).withUnsafeBytes { name in
      how.withUnsafeBytes {
        process.host.call(
          437, PathWalk.word(mount.descriptor), process.address(of: name.baseAddress),
          process.address(of: $0.baseAddress), 24)
      }
    }
    // Any error: the walk finds the right one, or a link.
    if result < 0 { return nil }
    let descriptor = Int32(truncatingIfNeeded: result)
    opened.append(descriptor)
    let status = try process.fileStatus(descriptor)
    let step = WalkStep(descriptor: descriptor, status: status, mount: best)
    if status.isLink || process.isOnProcesses(status) {
      drop(step)
      return nil
    }
    return Place(object: step)
  }
}

/// Errors of walks.
enum WalkError {
  static var missing: MemoryError { MemoryError(2) }
  static var badDescriptor: MemoryError { MemoryError(9) }
  static var denied: MemoryError { MemoryError(13) }
  static var otherDevice: MemoryError { MemoryError(18) }
  static var notDirectory: MemoryError { MemoryError(20) }
  static var loop: MemoryError { MemoryError(40) }
}

extension LinuxProcess {
  /// Opens `name` in `directory` without reading or writing it (O_PATH), and not for the next program.
  func openPath(
    _ name: some Collection<UInt8>, at directory: Int32, _ flags: UInt64 = 0
  ) throws(MemoryError) -> Int32 {
    let result = (Array(name) + [0]).withUnsafeBytes {
      host.call(
        257, PathWalk.word(directory), address(of: $0.baseAddress),
        PathWalk.pathOnly | PathWalk.closeOnExec | flags)
    }
    if result < 0 { throw MemoryError(Int32(truncatingIfNeeded: -result)) }
    return Int32(truncatingIfNeeded: result)
  }
}
