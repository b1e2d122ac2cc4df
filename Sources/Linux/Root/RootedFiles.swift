// Calls of a guest with a root of its own that need more than a path put in place: opening, reading links, the working directory, listings,
// chroot(2), and what is refused because it would lead past the root.
import GuestMemory
import LinuxABI

/// What open(2), openat(2), openat2(2) and creat(2) ask for.
private struct OpenRequest {
  var directory: Int32 = -100
  var path: UInt64
  var flags: UInt64
  var mode: UInt64
  /// RESOLVE_ flags of openat2(2).
  var resolve: UInt64 = 0

  static let create: UInt64 = 0o100
  static let exclusive: UInt64 = 0o200
  static let truncate: UInt64 = 0o1000
  static let directory: UInt64 = 0o200000
  static let temporary: UInt64 = 0o20000000

  var wantsWriting: Bool { flags & 3 != 0 || flags & OpenRequest.truncate != 0 || isTemporary }
  var isTemporary: Bool { flags & OpenRequest.temporary != 0 }
  var creates: Bool { flags & OpenRequest.create != 0 && !isTemporary }
  var isPathOnly: Bool { flags & PathWalk.pathOnly != 0 }

  var purpose: WalkPurpose {
    var purpose: WalkPurpose = []
    if flags & PathWalk.noFollow == 0 { purpose.insert(.follow) }
    if creates, !isPathOnly {
      purpose.insert(flags & OpenRequest.exclusive != 0 ? .entry : .mayBeMissing)
    }
    for (bit, meaning) in [
      (1, WalkPurpose.sameMount), (2, .noMagicLinks), (4, .noLinks), (8, .beneath), (16, .inDirectory),
    ] where resolve & UInt64(bit) != 0 {
      purpose.insert(meaning)
    }
    return purpose
  }
}

extension LinuxProcess {
  /// Calls that have a way of their own; nil for all others.
  func rootedSpecial(_ call: SystemCall, _ arguments: Arguments, _ root: GuestRoot) -> Int64? {
    switch call.number {
    case 2: return rootedOpen(OpenRequest(path: arguments.a, flags: arguments.b, mode: arguments.c), root)
    case 85: return rootedOpen(OpenRequest(path: arguments.a, flags: 0o1101, mode: arguments.b), root)
    case 257:
      return rootedOpen(
        OpenRequest(
          directory: int(arguments.a), path: arguments.b, flags: arguments.c & 0xffff_ffff, mode: arguments.d),
        root)
    case 437: return rootedOpen2(arguments, root)
    case 89: return rootedReadLink(-100, arguments.a, arguments.b, int(arguments.c), root)
    case 267: return rootedReadLink(int(arguments.a), arguments.b, arguments.c, int(arguments.d), root)
    case 79: return rootedWorkingDirectory(arguments)
    case 161: return rootedChangeRoot(arguments, root)
    case 272: return rootedUnshare(call, arguments)
    case 78, 217: return rootedReadDirectory(call, arguments, root)
    case 3, 8:
      root.listed.remove(int(arguments.a))
      return nil
    case 59, 322: return call.handler?(self, arguments)
    case 42...53, 288, 299, 307: return rootedSocket(call, arguments, root)
    // FS_IOC_SETFLAGS
    case 16 where arguments.b & 0xffff_ffff == 0x4008_6602 && isReadOnly(descriptor: int(arguments.a)):
      return -Errno.EROFS
    // pivot_root, mount, umount2, acct, quotactl, fanotify, open_by_handle_at, setns, open_tree … fspick, mount_setattr
    case 155, 165, 166, 163, 179, 300, 301, 304, 308, 428...433, 442, 443: return -Errno.EPERM
    default: return nil
    }
  }

  /// Whether a call without a path has to do with the root all the same.
  func concernsRoot(_ number: Int) -> Bool {
    switch number {
    case 3, 8, 16, 42...53, 78, 79, 217, 272: true
    default: changesByDescriptor(number)
    }
  }

  // MARK: open(2)

  private func rootedOpen2(_ arguments: Arguments, _ root: GuestRoot) -> Int64 {
    // The host says what is wrong with the structure.
    guard let missing = pathBuffers.fill(1, Array("none/none".utf8)) else { return -Errno.ENOMEM }
    let how = memory.hostArgument(arguments.c)
    let check = host.call(
      437, PathWalk.word(root.token.descriptor), address(of: missing), how, arguments.d)
    let notDirectory: Int64 = -20
    if check < 0, check != notDirectory, check != -Errno.ENOENT { return check }
    guard let words = memory.bytes(at: GuestAddress(arguments.c), count: 24),
      let flags = words.littleEndian(UInt64.self, at: 0), let mode = words.littleEndian(UInt64.self, at: 8),
      let resolve = words.littleEndian(UInt64.self, at: 16)
    else { return -Errno.EFAULT }
    return rootedOpen(
      OpenRequest(
        directory: int(arguments.a), path: arguments.b, flags: flags, mode: mode, resolve: resolve), root)
  }

  private func rootedOpen(_ request: OpenRequest, _ root: GuestRoot) -> Int64 {
    let path: [UInt8]
    do throws(MemoryError) {
      path = try memory.cString(at: GuestAddress(request.path), limit: 4096)
    } catch {
      return openFailed(request, -Int64(error.number))
    }
    // The name may change between the walk and the call, which then refuses: once more.
    for _ in 0..<32 {
      let walk = PathWalk(self, root)
      defer { walk.finish() }
      do throws(MemoryError) {
        let place = try walk.walk(request.directory, path, request.purpose)
        if let result = open(place, request, walk, root) { return result }
      } catch {
        return openFailed(request, -Int64(error.number))
      }
    }
    return -Errno.ELOOP
  }

  /// What the kernel finds wrong with the flags comes before what is wrong with the path.
  private func openFailed(_ request: OpenRequest, _ error: Int64) -> Int64 {
    guard let buffer = pathBuffers.fill(0, LinuxProcess.missingPath) else { return error }
    let first = host.call(257, PathWalk.word(-100), address(of: buffer), request.flags, request.mode)
    return first < 0 && first != -Errno.ENOENT ? first : error
  }

  /// Opens what the walk has found; nil when it has changed meanwhile.
  private func open(_ place: Place, _ request: OpenRequest, _ walk: PathWalk, _ root: GuestRoot) -> Int64? {
    var flags = request.flags
    if let link = place.object, link.status.isLink, place.mount != nil, request.isPathOnly {
      let closeOnExec = flags & PathWalk.closeOnExec != 0
      return host.call(72, PathWalk.word(link.descriptor), closeOnExec ? 1030 : 0, 0)
    }
    let used: WalkStep?
    if let object = place.object, !object.status.isLink || place.parent == nil {
      if let failure = mayOpen(object, request, root) { return openFailed(request, failure) }
      if request.purpose.contains(.entry) { return openFailed(request, -Errno.EEXIST) }
      flags &= ~PathWalk.noFollow
      used = object
    } else {
      if place.mount != nil, request.purpose.contains(.entry) {
        return openFailed(request, place.name.last == 47 ? -Errno.EISDIR : -Errno.EEXIST)
      }
      used = place.parent
      if place.object == nil {
        if place.name == [46] || place.name == [46, 46] {
          return openFailed(request, flags & OpenRequest.exclusive != 0 ? -Errno.EEXIST : -Errno.EISDIR)
        }
        if isReadOnly(place.parent) { return openFailed(request, existsOrReadOnly(place)) }
        flags |= OpenRequest.exclusive
      }
      // A link that is not to be followed, or a name to be made.
      flags |= PathWalk.noFollow
    }
    let name: [UInt8]
    // The lowest number belongs to the file that the guest opens, and the call may wait while other threads run.
    let kept = used.flatMap { keepHidden($0.descriptor, walk) }
    let descriptor = kept ?? used?.descriptor ?? -100
    walk.finish()
    if place.object.map({ !$0.status.isLink || place.parent == nil }) ?? false {
      name = Array(LinuxProcess.link(of: descriptor).utf8)
    } else if descriptor == -100 {
      name = place.name
    } else {
      name = Array((LinuxProcess.link(of: descriptor) + "/").utf8) + place.name
    }
    defer { if let kept { closeKept(kept) } }
    guard let buffer = pathBuffers.fill(0, name) else { return -Errno.ENAMETOOLONG }
    if wouldTruncateProgram(PathWalk.word(-100), address(of: buffer), flags: flags) { return -Errno.ETXTBSY }
    let result = host.callWaiting(257, PathWalk.word(-100), address(of: buffer), flags, request.mode)
    if place.object == nil, result == -Errno.EEXIST, request.flags & OpenRequest.exclusive == 0 { return nil }
    if result >= 0 { root.listed.remove(Int32(truncatingIfNeeded: result)) }
    return opened(result, flags: request.flags)
  }

  /// Makes a descriptor of a walk, or one of the guest's own, one that other threads cannot exchange; nil: it is one already.
  func keepHidden(_ descriptor: Int32, _ walk: PathWalk) -> Int32? {
    guard let kept = keep(descriptor, walk) else { return nil }
    root?.waiting.append(kept)
    return kept
  }

  /// Closes what `keepHidden` has made.
  func closeKept(_ descriptor: Int32) {
    root?.waiting.removeAll { $0 == descriptor }
    closeHidden(descriptor)
  }

  private func keep(_ descriptor: Int32, _ walk: PathWalk) -> Int32? {
    if descriptors.contains(descriptor) { return nil }
    if walk.opened.contains(descriptor) {
      walk.keep(descriptor)
      return hide(descriptor, movesStandard: true)
    }
    if descriptor == -100 {
      if !memory.isThreaded { return nil }
      return (try? openPath([46], at: -100)).map { hide($0, movesStandard: true) }
    }
    let duplicate = host.call(72, PathWalk.word(descriptor), 1030, 3)
    return duplicate < 0 ? nil : hide(Int32(truncatingIfNeeded: duplicate), movesStandard: true)
  }

  private func existsOrReadOnly(_ place: Place) -> Int64 {
    if place.name.last == 47 { return -Errno.EISDIR }
    return entryStatus(place) == nil ? -Errno.EROFS : -Errno.EEXIST
  }

  /// Why the file may not be opened like this.
  private func mayOpen(_ object: WalkStep, _ request: OpenRequest, _ root: GuestRoot) -> Int64? {
    if request.isPathOnly { return nil }
    let number = mountNumber(object)
    let writes = request.wantsWriting
    if object.status.isDevice, let number, !root.mounts[number].hasDevices { return -Errno.EACCES }
    let makesFile = request.isTemporary && object.status.isDirectory
    if writes, (object.status.isRegular && request.flags & OpenRequest.directory == 0) || makesFile {
      if isReadOnly(object), !isOwnProcessFile(object) { return -Errno.EROFS }
    }
    // A descriptor from outside gives what it was opened for, and no more.
    if writes, number == nil, let inherited = object.inherited,
      object.status.isRegular || object.status.isDevice
    {
      let getFlags: UInt64 = 3
      let flags = host.call(72, PathWalk.word(inherited), getFlags)
      if flags < 0 || flags & 3 == 0 { return -Errno.EACCES }
    }
    return nil
  }

  /// Files of /proc that are about a process may be written; those about the machine may not.
  func isOwnProcessFile(_ object: WalkStep) -> Bool {
    guard let root, let place = location(of: object.descriptor), root.mounts[place.mount].isProcesses,
      let first = place.rest.split(separator: 47).first
    else { return false }
    return first.allSatisfy { $0 >= 48 && $0 <= 57 }
  }

  // MARK: readlink(2), getcwd(2)

  private func rootedReadLink(
    _ directory: Int32, _ pointer: UInt64, _ buffer: UInt64, _ size: Int32, _ root: GuestRoot
  ) -> Int64 {
    if size <= 0 { return -Errno.EINVAL }
    let walk = PathWalk(self, root)
    defer { walk.finish() }
    do throws(MemoryError) {
      let path = try memory.cString(at: GuestAddress(pointer), limit: 4096)
      var text: [UInt8]
      if path.isEmpty, directory >= 0 {
        if descriptors.contains(directory) { return -Errno.EBADF }
        if try !fileStatus(directory).isLink { return -Errno.ENOENT }
        text = try linkText(directory)
        if isProcessFileSystem(Int64(directory)) { text = root.shownPath(text) }
      } else {
        let place = try walk.walk(directory, path, [])
        guard let object = place.object, object.status.isLink else { return -Errno.EINVAL }
        text = try linkText(object.descriptor)
        if let parent = place.parent, let magic = magicLink(object, place.name[...], parent) {
          text = try magicText(magic, text, root)
        }
      }
      let shown = Array(text.prefix(Int(size)))
      return memory.copyOut(shown, to: GuestAddress(buffer)) ? Int64(shown.count) : -Errno.EFAULT
    } catch {
      return -Int64(error.number)
    }
  }

  private func magicText(
    _ magic: MagicLink, _ text: [UInt8], _ root: GuestRoot
  ) throws(MemoryError) -> [UInt8] {
    if !isRelated(magic.process) { throw WalkError.denied }
    switch magic.kind {
    case .root: return [47]
    case .executable:
      if magic.process == ownNumber { return options.executable }
      return root.shownPath(OtherGuest(magic.process, self).executable ?? [47])
    case .workingDirectory, .descriptor, .mapping, .namespace: return root.shownPath(text)
    }
  }

  private func rootedWorkingDirectory(_ arguments: Arguments) -> Int64 {
    guard let root else { return -Errno.ENOENT }
    let text = withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 8) { buffer -> [UInt8]? in
      let length = host.call(79, address(of: buffer.baseAddress), 4096)
      // The kernel counts the zero; a directory that has been removed has no path.
      return length <= 0 ? nil : Array(buffer.prefix(Int(length) - 1))
    }
    guard let text else { return -Errno.ENOENT }
    let path = root.shownPath(text) + [0]
    if UInt64(path.count) > arguments.b { return -Errno.ERANGE }
    return memory.copyOut(path, to: GuestAddress(arguments.a)) ? Int64(path.count) : -Errno.EFAULT
  }

  // MARK: chroot(2)

  /// chroot(2): the guest's own root moves; the host's stays.
  private func rootedChangeRoot(_ arguments: Arguments, _ root: GuestRoot) -> Int64 {
    let walk = PathWalk(self, root)
    defer { walk.finish() }
    do throws(MemoryError) {
      let path = try memory.cString(at: GuestAddress(arguments.a), limit: 4096)
      let place = try walk.walk(-100, path, [.follow])
      guard let object = place.object, object.status.isDirectory else { throw WalkError.notDirectory }
      let changeRoot: UInt32 = 18
      if !hasCapability(changeRoot) { return -Errno.EPERM }
      guard let text = linkTarget(LinuxProcess.link(of: object.descriptor)), let found = root.locate(text)
      else { throw WalkError.denied }
      let guestPath = root.fullPath(found)
      let duplicate = host.call(72, PathWalk.word(object.descriptor), 1030, 3)
      if duplicate < 0 { return duplicate }
      var start = object
      start.descriptor = hide(Int32(truncatingIfNeeded: duplicate), movesStandard: true)
      start.mount = found.mount
      moveRoot(root, to: start, guestPath)
      tellSharedRoot(root)
      return 0
    } catch {
      return -Int64(error.number)
    }
  }

  /// unshare(2): new namespaces of mounts and users have a root of their own, too.
  private func rootedUnshare(_ call: SystemCall, _ arguments: Arguments) -> Int64 {
    let (files, mounts, users): (UInt64, UInt64, UInt64) = (0x200, 0x2_0000, 0x1000_0000)
    let result = passThrough(call, arguments)
    if result == 0, arguments.a & (files | mounts | users) != 0 { leaveSharedRoot() }
    return result
  }

  // MARK: getdents(2)

  /// A listing leaves out processes that are not the guest's, and has what is bound without being there.
  private func rootedReadDirectory(_ call: SystemCall, _ arguments: Arguments, _ root: GuestRoot) -> Int64 {
    let descriptor = int(arguments.a)
    if descriptors.contains(descriptor) { return -Errno.EBADF }
    guard let status = try? fileStatus(descriptor), status.isDirectory else {
      return call.handler?(self, arguments) ?? -Errno.ENOSYS
    }
    let nameOffset = call.number == 217 ? 19 : 18
    let topmost: UInt64 = 1
    let listsProcesses =
      status.identity.inode == topmost && isOnProcesses(status) && root.mounts.contains { $0.isProcesses }
    while true {
      let result = call.handler?(self, arguments) ?? -Errno.ENOSYS
      if result == 0 { return bound(in: status.identity, arguments, root, call.number) }
      if result < 0 || !listsProcesses { return result }
      let place = GuestAddress(arguments.b)
      guard let entries = memory.bytes(at: place, count: Int(result)) else { return -Errno.EFAULT }
      let kept = LinuxProcess.entries(entries, nameOffset) { name in
        Int64(String(decoding: name, as: UTF8.self)).map { self.isRelated($0) } ?? true
      }
      if !memory.copyOut(kept, to: place) { return -Errno.EFAULT }
      if !kept.isEmpty { return Int64(kept.count) }
    }
  }

  /// At the end of a directory: the names that are bound in it and that its own file system does not have. Told once.
  private func bound(
    in directory: FileIdentity, _ arguments: Arguments, _ root: GuestRoot, _ number: Int
  ) -> Int64 {
    let descriptor = int(arguments.a)
    if root.listed.remove(descriptor) != nil { return 0 }
    var entries: [UInt8] = []
    for mount in root.mounts(in: directory) {
      let isThere = (mount.name + [0]).withUnsafeBytes {
        fileStatus(descriptor, address(of: $0.baseAddress), 0x100) != nil
      }
      if !isThere { entries += LinuxProcess.entry(mount, isNew: number == 217) }
    }
    if entries.isEmpty { return 0 }
    if UInt64(entries.count) > arguments.c & 0xffff_ffff { return -Errno.EINVAL }
    root.listed.insert(descriptor)
    return memory.copyOut(entries, to: GuestAddress(arguments.b)) ? Int64(entries.count) : -Errno.EFAULT
  }

  /// struct linux_dirent64, or linux_dirent, which has the type behind the name.
  private static func entry(_ mount: Mount, isNew: Bool) -> [UInt8] {
    let type = UInt8(truncatingIfNeeded: mount.status.type >> 12)
    let used = 18 + mount.name.count + 2
    let length = (used + 7) & ~7
    var entry = [UInt8](repeating: 0, count: length)
    func put(_ value: UInt64, at offset: Int, bytes: Int) {
      for index in 0..<bytes { entry[offset + index] = UInt8(truncatingIfNeeded: value >> UInt64(8 * index)) }
    }
    put(mount.status.identity.inode, at: 0, bytes: 8)
    put(UInt64(Int64.max), at: 8, bytes: 8)
    put(UInt64(length), at: 16, bytes: 2)
    if isNew { entry[18] = type } else { entry[length - 1] = type }
    for (index, byte) in mount.name.enumerated() { entry[(isNew ? 19 : 18) + index] = byte }
    return entry
  }
}
