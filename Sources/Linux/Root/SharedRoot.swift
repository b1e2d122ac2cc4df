// The root directory of processes that share it (clone(2) with CLONE_FS): one says chroot(2) for all of them, as a browser's sandbox has a child do
// that then ends. The descriptor of the new root travels in a message that nobody takes out of its socket but the next chroot(2), so that all
// can look at it when they find their own one out of date. Working directory and umask are shared by the host itself.
import CHost
import GuestMemory
import LinuxABI

/// What such processes have in common.
final class SharedRoot {
  // SAFETY: a page of shared memory, unmapped by `LinuxProcess.leaveSharedRoot` only, which drops this object.
  fileprivate let page: UnsafeMutableRawPointer
  /// Vitrine's own descriptors: a pair of sockets.
  fileprivate let sender: Int32
  fileprivate let receiver: Int32
  /// A message is the number of the mount, and the path.
  fileprivate static let numberSize = 8
  /// The change that this process has seen.
  fileprivate var seen: UInt64 = 0

  fileprivate init(page: UnsafeMutableRawPointer, sender: Int32, receiver: Int32) {
    (self.page, self.sender, self.receiver) = (page, sender, receiver)
  }

  /// How often the root has changed.
  fileprivate var changes: UInt64 { page.load(as: UInt64.self) }
}

extension LinuxProcess {
  private static let pageSize: UInt64 = 4096
  /// struct cmsghdr with one descriptor: length, level, type (SOL_SOCKET, SCM_RIGHTS), number, padding.
  private static let controlSize = 24

  /// Makes what the root is to be shared by. False: there is no room for it.
  func beginSharedRoot(_ root: GuestRoot) -> Bool {
    if root.shared != nil { return true }
    let (unix, sequencedOnExec): (UInt64, UInt64) = (1, 0x80005)
    var pair: [Int32] = [-1, -1]
    let made = pair.withUnsafeMutableBytes {
      host.call(53, unix, sequencedOnExec, 0, address(of: $0.baseAddress))
    }
    if made < 0 { return false }
    let ends = pair.map { hide($0, movesStandard: true) }
    guard let page = host.sharedMemory(LinuxProcess.pageSize) else {
      for end in ends { closeHidden(end) }
      return false
    }
    root.shared = SharedRoot(page: page, sender: ends[0], receiver: ends[1])
    return true
  }

  /// From now on the root is this process's alone.
  func leaveSharedRoot() {
    guard let root, let shared = root.shared else { return }
    adoptSharedRoot(root)
    root.shared = nil
    closeHidden(shared.sender)
    closeHidden(shared.receiver)
    _ = host.call(11, address(of: UnsafeRawPointer(shared.page)), LinuxProcess.pageSize)
  }

  /// Makes a directory `/`. `start` has a descriptor of Vitrine's own.
  func moveRoot(_ root: GuestRoot, to start: WalkStep, _ path: [UInt8]) {
    if !root.mounts.contains(where: { $0.descriptor == root.start.descriptor }) {
      closeHidden(root.start.descriptor)
    }
    root.start = start
    root.startPath = path
  }

  /// Tells the others that the root has moved.
  func tellSharedRoot(_ root: GuestRoot) {
    guard let shared = root.shared else { return }
    // Of two that do this at once the later one counts; a message that is taken meanwhile leaves everybody's root as it is.
    while let old = sharedRootMessage(shared, peeks: false) {
      _ = host.call(3, PathWalk.word(old.descriptor))
    }
    var control = [UInt8](repeating: 0, count: LinuxProcess.controlSize)
    control.put(20, at: 0)
    control.put(1 << 32 | 1, at: 8)
    control.put(UInt64(UInt32(bitPattern: root.start.descriptor)), at: 16)
    var text = [UInt8](repeating: 0, count: SharedRoot.numberSize)
    text.put(UInt64(root.start.mount ?? 0), at: 0)
    text += root.startPath
    if transferRoot(46, shared.sender, &text, &control) < 0 { return }
    var before = shared.changes
    while !vt_compare_exchange64(shared.page, &before, before &+ 1) {}
    shared.seen = before &+ 1
  }

  /// Takes over what another process has made of the root.
  func adoptSharedRoot(_ root: GuestRoot) {
    guard let shared = root.shared else { return }
    let changes = shared.changes
    guard changes != shared.seen, let message = sharedRootMessage(shared, peeks: true) else { return }
    shared.seen = changes
    guard let status = try? fileStatus(message.descriptor) else { return }
    let descriptor = hide(message.descriptor, movesStandard: true)
    moveRoot(root, to: WalkStep(descriptor: descriptor, status: status, mount: message.mount), message.path)
  }

  /// The message that waits, if there is one.
  private func sharedRootMessage(_ shared: SharedRoot, peeks: Bool) -> (
    descriptor: Int32, mount: Int, path: [UInt8]
  )? {
    let (peek, dontWait, closeOnExec): (UInt64, UInt64, UInt64) = (2, 0x40, 0x4000_0000)
    var text = [UInt8](repeating: 0, count: SharedRoot.numberSize + 4096)
    var control = [UInt8](repeating: 0, count: LinuxProcess.controlSize)
    let length = transferRoot(
      47, shared.receiver, &text, &control, dontWait | closeOnExec | (peeks ? peek : 0))
    guard length >= SharedRoot.numberSize, control.littleEndian(UInt64.self, at: 0) == 20,
      let descriptor = control.littleEndian(UInt32.self, at: 16),
      let mount = text.littleEndian(UInt64.self, at: 0)
    else { return nil }
    return (Int32(bitPattern: descriptor), Int(mount), Array(text[SharedRoot.numberSize..<Int(length)]))
  }

  /// sendmsg(2) or recvmsg(2).
  private func transferRoot(
    _ call: Int64, _ socket: Int32, _ text: inout [UInt8], _ control: inout [UInt8], _ flags: UInt64 = 0
  ) -> Int64 {
    text.withUnsafeMutableBytes { text in
      control.withUnsafeMutableBytes { control in
        let vector = [address(of: text.baseAddress), UInt64(text.count)]
        return vector.withUnsafeBytes { vector in
          var header: [UInt64] = [
            0, 0, address(of: vector.baseAddress), 1, address(of: control.baseAddress), UInt64(control.count),
            0,
          ]
          return header.withUnsafeMutableBytes {
            host.call(call, PathWalk.word(socket), address(of: $0.baseAddress), flags)
          }
        }
      }
    }
  }
}
