// The choke point of a guest with a root of its own: every system call comes here first. Paths are found in the signature of
// the call's declaration, walked (PathWalk.swift), and replaced by names under /proc/thread-self/fd that lead exactly to what the walk has
// found; then the host makes the call. A call with a path that this table does not know is refused.
import CHost
import GuestMemory
import LinuxABI

/// What a call does with a path.
enum PathUse: Equatable {
  /// It is about what the path leads to, or about a link at its end itself.
  case follow, noFollow
  /// A flag in an argument decides: follow unless it is set, or only if it is.
  case followUnless(argument: Int, flag: UInt64)
  case followIf(argument: Int, flag: UInt64)
  /// It makes, removes or renames the name.
  case entry
  /// No path at all: what a symbolic link is to say.
  case text
  /// The handler for rooted guests looks at it.
  case special
}

/// What is known of a call with paths.
struct RootedCall {
  var uses: [PathUse]
  /// Changes something: EROFS in a read-only tree.
  var changes = false

  private static let noFollowFlag: UInt64 = 0x100
  private static let followFlag: UInt64 = 0x400

  static func of(_ number: Int) -> RootedCall? { reading(number) ?? changing(number) ?? naming(number) }

  private static func reading(_ number: Int) -> RootedCall? {
    switch number {
    // stat, chdir, statfs, getxattr, listxattr, access, faccessat
    case 4, 80, 137, 191, 194, 21, 269: return RootedCall(uses: [.follow])
    // lstat, lgetxattr, llistxattr
    case 6, 192, 195: return RootedCall(uses: [.noFollow])
    // newfstatat, faccessat2, statx
    case 262, 439: return RootedCall(uses: [.followUnless(argument: 3, flag: noFollowFlag)])
    // getxattrat, listxattrat; file_getattr
    case 332, 464, 465: return RootedCall(uses: [.followUnless(argument: 2, flag: noFollowFlag)])
    case 468: return RootedCall(uses: [.followUnless(argument: 4, flag: noFollowFlag)])
    // name_to_handle_at, inotify_add_watch
    case 303: return RootedCall(uses: [.followIf(argument: 4, flag: followFlag)])
    case 254: return RootedCall(uses: [.followUnless(argument: 2, flag: 0x0200_0000)])
    // open, creat, openat, openat2, readlink, readlinkat, chroot, execve, execveat
    case 2, 85, 257, 437, 89, 267, 161, 59, 322: return RootedCall(uses: [.special])
    default: return nil
    }
  }

  private static func changing(_ number: Int) -> RootedCall? {
    switch number {
    // truncate, chmod, chown, utime, setxattr, removexattr, utimes, futimesat, fchmodat
    case 76, 90, 92, 132, 188, 197, 235, 261, 268: return RootedCall(uses: [.follow], changes: true)
    // lchown, lsetxattr, lremovexattr
    case 94, 189, 198: return RootedCall(uses: [.noFollow], changes: true)
    // setxattrat, removexattrat
    case 463, 466:
      return RootedCall(uses: [.followUnless(argument: 2, flag: noFollowFlag)], changes: true)
    // fchownat, file_setattr, utimensat, fchmodat2
    case 260, 469: return RootedCall(uses: [.followUnless(argument: 4, flag: noFollowFlag)], changes: true)
    case 280, 452: return RootedCall(uses: [.followUnless(argument: 3, flag: noFollowFlag)], changes: true)
    default: return nil
    }
  }

  private static func naming(_ number: Int) -> RootedCall? {
    switch number {
    // unlink, rmdir, unlinkat
    case 87, 84, 263: return RootedCall(uses: [.entry], changes: true)
    // mkdir, mknod, mkdirat, mknodat
    case 83, 133, 258, 259:
      return RootedCall(uses: [.entry], changes: true)
    // symlink, symlinkat
    case 88, 266: return RootedCall(uses: [.text, .entry], changes: true)
    // rename, renameat, renameat2
    case 82, 264, 316: return RootedCall(uses: [.entry, .entry], changes: true)
    // link, linkat
    case 86: return RootedCall(uses: [.noFollow, .entry], changes: true)
    case 265:
      return RootedCall(
        uses: [.followIf(argument: 4, flag: followFlag), .entry], changes: true)
    default: return nil
    }
  }

  /// The call that follows a link, of a pair that differ in that: lstat, lchown, lsetxattr, lgetxattr, llistxattr, lremovexattr.
  static func following(_ number: Int) -> Int64 {
    switch number {
    case 6: 4
    case 94: 92
    case 189, 192, 195, 198: Int64(number - 1)
    default: Int64(number)
    }
  }
}

/// A call's path on its way to the host.
private struct RootedPath {
  let argument: Int
  let directory: Int?
  let use: PathUse
}

extension LinuxProcess {
  /// Answers a call of a guest with a root of its own.
  func rootedCall(_ call: SystemCall, _ arguments: Arguments, _ root: GuestRoot) -> Int64 {
    adoptSharedRoot(root)
    if let answer = rootedSpecial(call, arguments, root) { return answer }
    let signature = call.parsed
    guard signature.arguments.contains(where: { $0.kind == .path }) else {
      if changesByDescriptor(call.number), root.hasReadOnly, isReadOnly(descriptor: int(arguments.a)) {
        return -Errno.EROFS
      }
      return call.handler?(self, arguments) ?? passThrough(call, arguments)
    }
    guard let rooted = RootedCall.of(call.number) else { return -Errno.EPERM }
    let walks = (PathWalk(self, root), PathWalk(self, root))
    defer {
      walks.0.finish()
      walks.1.finish()
    }
    return withPaths(call, arguments, rooted, rootedPaths(signature, rooted), root, walks)
  }

  private func rootedPaths(_ signature: Signature, _ rooted: RootedCall) -> [RootedPath] {
    var result: [RootedPath] = []
    for (index, type) in signature.arguments.enumerated() where type.kind == .path {
      let directory = index > 0 && signature.arguments[index - 1].kind == .directory ? index - 1 : nil
      let use = result.count < rooted.uses.count ? rooted.uses[result.count] : .special
      // symlinkat(2): the text stands in front of the descriptor.
      result.append(RootedPath(argument: index, directory: use == .text ? nil : directory, use: use))
    }
    return result
  }

  private func withPaths(
    _ call: SystemCall, _ arguments: Arguments, _ rooted: RootedCall, _ paths: [RootedPath],
    _ root: GuestRoot,
    _ walks: (PathWalk, PathWalk)
  ) -> Int64 {
    var changed = arguments
    var number = Int64(call.number)
    var places: [Place] = []
    for (order, path) in paths.enumerated() {
      if let directory = path.directory, descriptors.contains(int(arguments[directory])) {
        return -Errno.EBADF
      }
      if path.use == .text {
        changed[path.argument] = memory.hostArgument(arguments[path.argument])
        continue
      }
      // The C library asks about descriptors with an empty path, or none.
      if isAboutDescriptor(call.number, arguments, path) {
        if rooted.changes, path.directory.map({ isReadOnly(descriptor: int(arguments[$0])) }) ?? false {
          return -Errno.EROFS
        }
        // An empty path of our own: the guest's may be another one by the time the host looks.
        let hasPath = arguments[path.argument] != 0
        let empty = hasPath ? pathBuffers.fill(path.argument, []) : nil
        changed[path.argument] = empty.map { address(of: $0) } ?? 0
        if call.number == 265, let file = try? fileStatus(int(arguments.a)) {
          places.append(Place(object: WalkStep(descriptor: int(arguments.a), status: file)))
        }
        continue
      }
      do throws(MemoryError) {
        let name = try memory.cString(at: GuestAddress(arguments[path.argument]), limit: 4096)
        let start = path.directory.map { int(arguments[$0]) } ?? -100
        let purpose = purpose(path.use, arguments)
        let place = try (order == 0 ? walks.0 : walks.1).walk(start, name, purpose)
        places.append(place)
        let isRemoval = call.number == 84 || call.number == 263
        let host = hostName(of: place, purpose, isRemoval: isRemoval)
        if purpose == [], place.object.map({ !$0.status.isLink }) ?? false {
          number = RootedCall.following(call.number)
          dropNoFollow(path.use, &changed)
        }
        if let directory = path.directory { changed[directory] = host.directory }
        if host.isEmptyPath {
          if number == 6 { return boundLinkStatus(host.directory, arguments.b) }
          changed = emptyPathForm(number, changed)
        }
        guard let buffer = pathBuffers.fill(path.argument, host.name) else { throw MemoryError(36) }
        changed[path.argument] = address(of: buffer)
      } catch {
        return failed(call, arguments, paths, -Int64(error.number))
      }
    }
    if let failure = refusal(call, arguments, rooted, places, root) {
      return failed(call, arguments, paths, failure)
    }
    if call.number == 86, let first = places.first?.object, !first.status.isLink {
      // link(2) of the file that a name under /proc leads to.
      changed = Arguments(PathWalk.word(-100), changed.a, PathWalk.word(-100), changed.b, 0x400)
      return host.call(265, changed.a, changed.b, changed.c, changed.d, changed.e)
    }
    let result = hostCall(call, number, changed)
    return result == 0 && asksForWriting(call.number, arguments, places) ? -Errno.EROFS : result
  }

  /// access(2) for writing, of something in a read-only tree.
  private func asksForWriting(_ number: Int, _ arguments: Arguments, _ places: [Place]) -> Bool {
    let writing: UInt64 = 2
    let mode = number == 21 ? arguments.b : number == 269 || number == 439 ? arguments.c : 0
    guard mode & writing != 0, let object = places.first?.object else { return false }
    let status = object.status
    return (status.isRegular || status.isDirectory || status.isLink) && isReadOnly(object)
      && !isOwnProcessFile(object)
  }

  private func purpose(_ use: PathUse, _ arguments: Arguments) -> WalkPurpose {
    switch use {
    case .follow: [.follow]
    case .entry: [.entry]
    case .followUnless(let argument, let flag): arguments[argument] & flag == 0 ? [.follow] : []
    case .followIf(let argument, let flag): arguments[argument] & flag != 0 ? [.follow] : []
    case .noFollow, .text, .special: []
    }
  }

  /// What was found is no link: the host is to follow the name that leads to it.
  private func dropNoFollow(_ use: PathUse, _ arguments: inout Arguments) {
    switch use {
    case .followUnless(let argument, let flag): arguments[argument] &= ~flag
    case .followIf(let argument, let flag): arguments[argument] |= flag
    default: break
    }
  }

  /// Whether AT_EMPTY_PATH, or a missing path, makes a call one about the descriptor.
  private func isAboutDescriptor(_ number: Int, _ arguments: Arguments, _ path: RootedPath) -> Bool {
    guard path.directory != nil else { return false }
    let pointer = arguments[path.argument]
    // utimensat(2) and futimesat(2) without a path.
    if pointer == 0, number == 280 || number == 261 { return true }
    let flags: UInt64
    switch number {
    case 262, 280, 439, 452: flags = arguments.d
    case 332, 463, 464, 465, 466: flags = arguments.c
    case 260, 265, 303, 468, 469: flags = arguments.e
    default: return false
    }
    let emptyPath: UInt64 = 0x1000
    if flags & emptyPath == 0 || (number == 265 && path.argument != 1) { return false }
    return pointer == 0 || memory.load(UInt8.self, at: pointer) == 0
  }

  /// The host's name of a place.
  func hostName(
    of place: Place, _ purpose: WalkPurpose, isRemoval: Bool = false
  ) -> (name: [UInt8], directory: UInt64, isEmptyPath: Bool) {
    let here = PathWalk.word(-100)
    // The root as a name to be made, moved or removed: the kernel refuses without looking.
    if purpose.contains(.entry), place.parent == nil {
      let root = place.object.map { LinuxProcess.link(of: $0.descriptor) } ?? ""
      return (isRemoval ? [47] : Array((root + "/.").utf8), here, false)
    }
    if let object = place.object, !object.status.isLink || place.parent == nil {
      return (Array(LinuxProcess.link(of: object.descriptor).utf8), here, false)
    }
    // A link that is bound: its own directory is not the guest's.
    if let object = place.object, place.mount != nil { return ([], PathWalk.word(object.descriptor), true) }
    guard let parent = place.parent else { return (LinuxProcess.missingPath, here, false) }
    if parent.descriptor == -100 { return (place.name, here, false) }
    return (Array((LinuxProcess.link(of: parent.descriptor) + "/").utf8) + place.name, here, false)
  }

  /// lstat(2) of a link that is bound.
  private func boundLinkStatus(_ directory: UInt64, _ buffer: UInt64) -> Int64 {
    var empty: UInt8 = 0
    let flags: UInt64 = 0x1100
    memory.prepareHostWrite(buffer, size: 144)
    return withUnsafePointer(to: &empty) {
      host.call(262, directory, address(of: $0), memory.hostArgument(buffer), flags)
    }
  }

  /// newfstatat, statx of a link that is bound: by its descriptor.
  private func emptyPathForm(_ number: Int64, _ arguments: Arguments) -> Arguments {
    var changed = arguments
    let emptyPath: UInt64 = 0x1000
    switch number {
    case 262: changed.d |= emptyPath
    case 332, 463, 464, 465, 466: changed.c |= emptyPath
    case 468, 469: changed.e |= emptyPath
    default: break
    }
    return changed
  }

  // MARK: Refusals

  /// Why the places forbid the call; nil: they do not. In the order in which the kernel looks (fs/namei.c).
  private func refusal(
    _ call: SystemCall, _ arguments: Arguments, _ rooted: RootedCall, _ places: [Place], _ root: GuestRoot
  ) -> Int64? {
    guard rooted.changes, let last = places.last else { return nil }
    switch call.number {
    case 82, 264, 316: return renameRefusal(places, call.number == 316 ? arguments.e : 0, root)
    case 84, 87, 263:
      let isDirectory = call.number == 84 || (call.number == 263 && arguments.c & 0x200 != 0)
      return removalRefusal(last, isDirectory, root)
    case 83, 133, 258, 259, 88, 266, 86, 265: break
    // truncate(2) looks at the type first.
    case 76: return last.object?.status.isRegular ?? false && isReadOnly(last.object) ? -Errno.EROFS : nil
    default: return isReadOnly(last.object) ? -Errno.EROFS : nil
    }
    let mayBeSlash = call.number == 83 || call.number == 258
    if last.mount != nil { return -Errno.EEXIST }
    if isReadOnly(last.parent) {
      if exists(last) { return -Errno.EEXIST }
      return last.name.last == 47 && !mayBeSlash ? -Errno.ENOENT : -Errno.EROFS
    }
    // Devices come from --bind or /dev.
    let type = (call.number == 133 ? arguments.b : call.number == 259 ? arguments.c : 0) & 0o170000
    if type == 0o020000 || type == 0o060000 { return exists(last) ? -Errno.EEXIST : -Errno.EPERM }
    if places.count == 2,
      mountNumber(places[0].object ?? places[0].parent) != mountNumber(last.parent ?? last.object)
    {
      return exists(last) ? -Errno.EEXIST : last.name.last == 47 ? -Errno.ENOENT : LinuxProcess.otherMount
    }
    return nil
  }

  /// EXDEV.
  private static let otherMount: Int64 = -18

  private func renameRefusal(_ places: [Place], _ flags: UInt64, _ root: GuestRoot) -> Int64? {
    guard places.count == 2 else { return nil }
    let (old, new) = (places[0], places[1])
    if mountNumber(old.parent ?? old.object) != mountNumber(new.parent ?? new.object) {
      return LinuxProcess.otherMount
    }
    if old.parent == nil || new.parent == nil || isDots(old) || isDots(new) { return nil }
    if isReadOnly(old.parent) { return -Errno.EROFS }
    if !isFixed(old, root), !isFixed(new, root) { return nil }
    guard let source = entryStatus(old) else { return -Errno.ENOENT }
    let target = entryStatus(new)
    let exchanges = flags & 2 != 0
    if flags & 1 != 0, target != nil { return -Errno.EEXIST }
    if exchanges, target == nil { return -Errno.ENOENT }
    let slashOfNew = new.name.last == 47
    if exchanges, let target, !target.isDirectory, slashOfNew { return -Errno.ENOTDIR }
    if !source.isDirectory, old.name.last == 47 || (!exchanges && slashOfNew) {
      return -Errno.ENOTDIR
    }
    if let target, target.identity == source.identity { return 0 }
    if !exchanges, let target, target.isDirectory != source.isDirectory {
      return source.isDirectory ? -Errno.ENOTDIR : -Errno.EISDIR
    }
    return -Errno.EBUSY
  }

  private func removalRefusal(_ place: Place, _ isDirectory: Bool, _ root: GuestRoot) -> Int64? {
    if place.parent == nil || isDots(place) { return nil }
    if isReadOnly(place.parent) { return -Errno.EROFS }
    guard isFixed(place, root), let status = entryStatus(place) else { return nil }
    if isDirectory, !status.isDirectory { return -Errno.ENOTDIR }
    if !isDirectory, status.isDirectory { return -Errno.EISDIR }
    if !isDirectory, place.name.last == 47 { return -Errno.ENOTDIR }
    // Something stands in it that its own file system does not have.
    return place.mount == nil ? -39 : -Errno.EBUSY
  }

  /// "." and "..", of which the kernel has its own to say.
  private func isDots(_ place: Place) -> Bool { place.name == [46] || place.name == [46, 46] }

  /// A mount, or a directory on the way to one: it may be neither moved nor removed.
  private func isFixed(_ place: Place, _ root: GuestRoot) -> Bool {
    place.mount != nil || isAncestor(place, root)
  }

  /// What stands at a name, a mount included; nil when there is nothing.
  func entryStatus(_ place: Place) -> FileStatus? {
    if let mount = place.mount { return root?.mounts[mount].status }
    guard let parent = place.parent else { return place.object?.status }
    return (Array(place.name.prefix { $0 != 47 }) + [0]).withUnsafeBytes {
      fileStatus(parent.descriptor, address(of: $0.baseAddress), 0x100)
    }
  }

  /// A directory on the way to a mount.
  private func isAncestor(_ place: Place, _ root: GuestRoot) -> Bool {
    guard let status = entryStatus(place), status.isDirectory else { return false }
    return root.ancestors.contains(status.identity)
      || root.mounts.contains { $0.status.identity == status.identity }
  }

  func exists(_ place: Place) -> Bool { entryStatus(place) != nil }

  /// The tree of a file: known from the walk, or told by the host's path.
  func mountNumber(_ step: WalkStep?) -> Int? {
    guard let step else { return nil }
    return step.mount ?? location(of: step.descriptor)?.mount
  }

  func isReadOnly(_ step: WalkStep?) -> Bool {
    guard let root, root.hasReadOnly, let number = mountNumber(step) else { return false }
    return root.mounts[number].isReadOnly
  }

  /// Whether an open descriptor is of a file in a read-only tree.
  func isReadOnly(descriptor: Int32) -> Bool {
    guard let root, root.hasReadOnly, let place = location(of: descriptor) else { return false }
    return root.mounts[place.mount].isReadOnly
  }

  /// fchmod, fchown, fsetxattr, fremovexattr.
  func changesByDescriptor(_ number: Int) -> Bool {
    number == 91 || number == 93 || number == 190 || number == 199
  }

  // MARK: The host's part

  /// A path of which the host says ENOENT, whatever it is asked to do.
  static let missingPath = Array("/proc/thread-self/fd/none/none".utf8)

  /// A walk has failed. What the kernel would have found wrong before it looked at the path comes first.
  private func failed(
    _ call: SystemCall, _ arguments: Arguments, _ paths: [RootedPath], _ error: Int64
  ) -> Int64 {
    var changed = arguments
    for path in paths {
      if path.use == .text {
        changed[path.argument] = memory.hostArgument(arguments[path.argument])
      } else if let buffer = pathBuffers.fill(path.argument, LinuxProcess.missingPath) {
        changed[path.argument] = address(of: buffer)
      }
      if let directory = path.directory { changed[directory] = PathWalk.word(-100) }
    }
    let first = hostCall(call, Int64(call.number), changed)
    return first < 0 && first != -Errno.ENOENT && first != Int64(VT_NOT_STARTED) ? first : error
  }

  /// Makes the call with paths that are the host's already.
  private func hostCall(_ call: SystemCall, _ number: Int64, _ arguments: Arguments) -> Int64 {
    var translated = arguments
    for (index, type) in call.parsed.arguments.enumerated() where index < 6 {
      if type.kind == .descriptor, descriptors.contains(int(arguments[index])) { return -Errno.EBADF }
      translated[index] = hostValue(arguments[index], type, arguments)
    }
    // name_to_handle_at(2): a header of two ints says how many bytes of handle follow.
    if number == 303 { memory.prepareHostWrite(arguments.c, size: 136) }
    if number == 463 || number == 464 {
      translated.e = arguments.e
      return attributeCall(number, translated)
    }
    if number == 76 { return truncate(translated.a, translated.b) }
    return host.call(
      number, translated.a, translated.b, translated.c, translated.d, translated.e, translated.f)
  }
}
