// Opens the trees that a guest is to see: the root, /proc, a small /dev, and what `--bind` asks for. Everything that can be wrong with
// the request is found here, before the program starts.
import GuestMemory
import LinuxABI

/// What is wrong with a root or a bind, for people.
public struct RootError: Error, CustomStringConvertible {
  public let description: String

  init(_ what: String, _ path: [UInt8], _ error: MemoryError) {
    let reason = Errno.describe(Int64(error.number))?.message ?? "error \(error.number)"
    description = "\(what): \(LoadError.name(path)): \(reason)"
  }

  init(_ text: String) { description = text }
}

extension LinuxProcess {
  /// Gives the process a root of its own. To be called before anything is loaded.
  public func enterRoot(_ request: RootRequest) throws(RootError) {
    guard request.isWanted else { return }
    let directory = request.directory ?? [47]
    let what = request.directory == nil ? "--bind" : "--root"
    guard let token = makeToken(), let names = SocketNames(host) else {
      throw RootError(what, directory, .noMemory)
    }
    var first = try openTree(what, directory)
    if !first.status.isDirectory { throw RootError(what, directory, WalkError.notDirectory) }
    first.guestPath = [47]
    first.hasDevices = request.directory == nil
    let root = GuestRoot(first, token: token, names: names)
    self.root = root
    if let processes = try? openTree("", Array("/proc".utf8)) {
      root.processDevice = processes.status.identity.device
      if request.directory != nil { addProcesses(processes, root) } else { closeHidden(processes.descriptor) }
    }
    if request.directory != nil { addDevices(root) }
    for bind in request.binds {
      var mount = try openTree("--bind", bind.source)
      mount.isReadOnly = bind.isReadOnly
      for other in root.mounts where other.status.identity == mount.status.identity && !other.isProcesses {
        if other.isReadOnly != mount.isReadOnly, other.parent != nil {
          throw RootError(
            "--bind: \(LoadError.name(bind.source)) is bound twice, once read-only and once not")
        }
      }
      do {
        try place(mount, bind.target, root)
      } catch {
        throw RootError("--bind", bind.target, error)
      }
    }
    if request.directory != nil { _ = host.call(81, PathWalk.word(first.descriptor)) }
  }

  /// A file that nobody else has: whoever has it open under this number belongs to the guest.
  private func makeToken() -> (descriptor: Int32, identity: FileIdentity)? {
    let name = Array("guest".utf8) + [0]
    let file = name.withUnsafeBytes { host.call(319, address(of: $0.baseAddress), 1) }
    if file < 0 { return nil }
    let hidden = hide(Int32(truncatingIfNeeded: file), movesStandard: true)
    return (try? fileStatus(hidden)).map { (hidden, $0.identity) }
  }

  /// Opens a tree or a file of the host. A symbolic link at the end is followed unless it is to be seen itself.
  private func openTree(_ what: String, _ path: [UInt8], isLink: Bool = false) throws(RootError) -> Mount {
    do throws(MemoryError) {
      let opened = try openPath(path, at: -100, isLink ? PathWalk.noFollow : 0)
      let descriptor = hide(opened, movesStandard: true)
      let status = try fileStatus(descriptor)
      guard let hostPath = linkTarget(LinuxProcess.link(of: descriptor)) else { throw WalkError.missing }
      return Mount(descriptor: descriptor, status: status, hostPath: hostPath, guestPath: [])
    } catch {
      throw RootError(what, path, error)
    }
  }

  /// Puts a tree at a path of the guest. The directory in which it is to stand must be there.
  private func place(_ mount: Mount, _ target: [UInt8], _ root: GuestRoot) throws(MemoryError) {
    let walk = PathWalk(self, root)
    defer { walk.finish() }
    var path = target
    while path.count > 1, path.last == 47 { path.removeLast() }
    if path.first != 47 { path = [47] + path }
    let found = try walk.walk(-100, path, [.follow, .mayBeMissing, .withName])
    guard var parent = found.parent, !found.name.isEmpty else { throw MemoryError(16) }
    if let object = found.object, object.status.isDirectory != mount.status.isDirectory {
      throw mount.status.isDirectory ? WalkError.notDirectory : MemoryError(21)
    }
    guard let text = linkTarget(LinuxProcess.link(of: parent.descriptor)),
      let base = root.guestPath(text)
    else { throw WalkError.missing }
    parent.mount = mountNumber(parent)
    let known = root.mounts.first { $0.parent?.status.identity == parent.status.identity }
    if let same = known?.parent {
      parent.descriptor = same.descriptor
    } else if walk.opened.contains(parent.descriptor) {
      walk.keep(parent.descriptor)
      parent.descriptor = hide(parent.descriptor, movesStandard: true)
    }
    var placed = mount
    placed.parent = parent
    placed.name = found.name
    placed.guestPath = (base == [47] ? [] : base) + [47] + found.name
    root.add(placed, above: try directoriesAbove(placed.guestPath, root))
  }

  /// The identities of the directories on a path, without the root and the last component.
  private func directoriesAbove(_ path: [UInt8], _ root: GuestRoot) throws(MemoryError) -> [FileIdentity] {
    var result: [FileIdentity] = []
    var above: [UInt8] = []
    for name in path.split(separator: 47).dropLast() {
      above += [47] + name
      let walk = PathWalk(self, root)
      defer { walk.finish() }
      if let object = try walk.walk(-100, above, [.follow]).object { result.append(object.status.identity) }
    }
    return result
  }

  /// /proc, with the guest's own processes. Files about the machine cannot be written, and attributes are the host's.
  private func addProcesses(_ processes: Mount, _ root: GuestRoot) {
    var mount = processes
    mount.isProcesses = true
    mount.isReadOnly = true
    do throws(MemoryError) { try place(mount, Array("/proc".utf8), root) } catch {
      closeHidden(mount.descriptor)
    }
  }

  /// /dev, if the tree has that directory: what every program may use, and the terminals.
  private func addDevices(_ root: GuestRoot) {
    let names = ["null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts"]
    let links = ["fd", "stdin", "stdout", "stderr"]
    for (name, isLink) in names.map({ ($0, false) }) + links.map({ ($0, true) }) {
      let path = Array("/dev/\(name)".utf8)
      guard var mount = try? openTree("", path, isLink: isLink) else { continue }
      // Devices can be written; their permissions and owners are the host's.
      mount.isReadOnly = true
      do throws(MemoryError) { try place(mount, path, root) } catch { closeHidden(mount.descriptor) }
    }
  }

  // MARK: Programs

  /// The host's name of a program of the guest's; nil when the guest has the host's root. The descriptors behind the names live as long as
  /// `walks`.
  func programLocator(_ walks: ProgramWalks) -> ProgramLocator? {
    guard let root else { return nil }
    return { path throws(ExecutableFile.OpenError) in
      let walk = PathWalk(self, root)
      walks.walks.append(walk)
      do throws(MemoryError) {
        guard let object = try walk.walk(-100, path, [.follow]).object else { throw WalkError.missing }
        return Array(LinuxProcess.link(of: object.descriptor).utf8)
      } catch {
        throw .host(error.number)
      }
    }
  }

  /// Opens and checks a program.
  public func executable(_ request: LoadRequest) throws(LoadError) -> Executable {
    let walks = ProgramWalks()
    defer { walks.finish() }
    return try Executable(
      request, limit: memory.limit, stackLimit: memory.stackLimit, locate: programLocator(walks))
  }

  /// Looks for a program without a slash in the directories of PATH, inside the guest's root.
  public func findProgram(_ name: [UInt8], searchPath: [UInt8]) -> [UInt8] {
    guard let root, !name.contains(47) else { return name }
    for folder in searchPath.split(separator: 58, omittingEmptySubsequences: false) {
      let candidate = folder.isEmpty ? name : folder + [47] + name
      let walk = PathWalk(self, root)
      defer { walk.finish() }
      guard let object = try? walk.walk(-100, Array(candidate), [.follow]).object, object.status.isRegular,
        HostCall.mayExecute(Array(LinuxProcess.link(of: object.descriptor).utf8))
      else { continue }
      return Array(candidate)
    }
    return name
  }

  // MARK: What /proc tells of mounts

  /// /proc/PID/mountinfo, mounts and mountstats of the guest's trees; nil for other files.
  func mountText(_ name: String, _ root: GuestRoot) -> [UInt8]? {
    if name != "mountinfo", name != "mounts", name != "mountstats" { return nil }
    var text = ""
    for (number, mount) in root.mounts.enumerated() {
      guard let place = visiblePath(mount, root) else { continue }
      let facts = fileSystem(mount)
      let options = mount.isReadOnly && !mount.isProcesses ? "ro" : "rw"
      switch name {
      case "mountinfo":
        let device = mount.status.identity.device
        let major = (device >> 8) & 0xfff | (device >> 32) & ~0xfff
        let minor = device & 0xff | (device >> 12) & ~0xff & 0xffff_ffff
        text +=
          "\(number + 1) \(number == 0 ? 0 : 1) \(major):\(minor) / \(place) \(options) - \(facts) none \(options)\n"
      case "mounts": text += "none \(place) \(facts) \(options) 0 0\n"
      default: text += "device none mounted on \(place) with fstype \(facts)\n"
      }
    }
    return Array(text.utf8)
  }

  /// The mount's place as the guest names it, with blanks as the kernel writes them.
  private func visiblePath(_ mount: Mount, _ root: GuestRoot) -> String? {
    // The tree in which the guest's root lies.
    if mount.guestPath == [47] { return "/" }
    guard let path = root.inside(mount.guestPath) else { return nil }
    let escaped = path.reduce(into: [UInt8]()) { text, byte in
      switch byte {
      case 32: text += Array("\\040".utf8)
      case 9: text += Array("\\011".utf8)
      case 10: text += Array("\\012".utf8)
      case 92: text += Array("\\134".utf8)
      default: text.append(byte)
      }
    }
    return String(decoding: escaped, as: UTF8.self)
  }

  /// The type of the file system that a mount is of, by its magic number (statfs(2)).
  private func fileSystem(_ mount: Mount) -> String {
    let magic = withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 15) { status -> UInt64 in
      status.initialize(repeating: 0)
      _ = host.call(138, PathWalk.word(mount.descriptor), address(of: status.baseAddress))
      return status[0]
    }
    switch magic {
    case 0xef53: return "ext4"
    case 0x0102_1994: return "tmpfs"
    case 0x9fa0: return "proc"
    case 0x6265_6572: return "sysfs"
    case 0x1cd1: return "devpts"
    case 0x794c_7630: return "overlay"
    case 0x9123_683e: return "btrfs"
    case 0x5846_5342: return "xfs"
    case 0x6969: return "nfs"
    case 0x2fc1_2fc1: return "zfs"
    case 0x0102_1997: return "9p"
    default: return "none"
    }
  }
}

/// The walks behind the files of one program.
final class ProgramWalks {
  var walks: [PathWalk] = []

  func finish() {
    for walk in walks { walk.finish() }
    walks = []
  }
}
