// What a thread leaves to others when it ends: the futexes on its robust list that it still owns (robust-futexes.rst of the kernel's
// documentation) and the word that pthread_join(3) waits for. The host kernel cannot walk the list, since its links are guest
// addresses; so a process that SIGKILL or another process ends leaves its futexes taken.
import CHost
import GuestMemory
import LinuxABI

extension LinuxProcess {
  private enum FutexWord {
    static let waiters: UInt32 = 0x8000_0000
    static let ownerDied: UInt32 = 0x4000_0000
    static let owner: UInt32 = 0x3fff_ffff
  }
  private enum FutexOperation {
    static let wake: UInt64 = 1
    static let unlockInheriting: UInt64 = 7
    static let isPrivate: UInt64 = 128
  }

  /// Lets go of what the current thread has, which ends or executes a program.
  func releaseFutexes() { releaseFutexes(of: thread, hostThreadRemains: thread === leader) }

  /// The process ends: lets go of what all its threads have. The others are stopped first, where they may be in guest code, and
  /// they cannot go on: the caller keeps the lock to the end.
  func releaseAllFutexes() {
    let remains = hostRemains && !isForkedChild
    releaseFutexes(of: thread, hostThreadRemains: remains && thread === leader)
    if allThreads.count <= 1 { return }
    memory.evictAll()
    for other in allThreads.values where other !== thread {
      releaseFutexes(of: other, hostThreadRemains: remains && other === leader)
    }
  }

  private func releaseFutexes(of thread: GuestThread, hostThreadRemains: Bool) {
    releaseRobustList(of: thread, hostThreadRemains)
    let word = thread.clearChildThread
    thread.clearChildThread = 0
    // As the kernel: nobody is told when nobody else has the memory.
    if word == 0 || (allThreads.count <= 1 && borrowed == nil) { return }
    if memory.store(UInt32(0), at: word) { wake(word) }
  }

  private func wake(_ word: UInt64) {
    _ = host.call(202, memory.hostArgument(word), FutexOperation.wake, 1)
  }

  /// `remains`: its host thread lives on, so that the host kernel does not hand over what it has.
  private func releaseRobustList(of thread: GuestThread, _ remains: Bool) {
    let head = thread.robustList
    thread.robustList = 0
    guard head != 0, let first = memory.load(UInt64.self, at: head),
      let offset = memory.load(UInt64.self, at: head &+ 8),
      let pending = memory.load(UInt64.self, at: head &+ 16)
    else { return }
    let owner = UInt32(bitPattern: thread.number != 0 ? thread.number : vt_thread_number())
    // Bit 0 of a link says that the futex inherits priorities.
    func release(_ entry: UInt64, isPending: Bool = false) {
      releaseOwned(
        (entry & ~1) &+ offset, owner, inherits: entry & 1 != 0, remains: remains, isPending: isPending)
    }
    var entry = first
    var left = 2048
    while entry & ~1 != head, left > 0 {
      guard let next = memory.load(UInt64.self, at: entry & ~1) else { break }
      if entry & ~1 != pending & ~1 { release(entry) }
      entry = next
      left &-= 1
    }
    if pending & ~1 != 0 { release(pending, isPending: true) }
  }

  private func releaseOwned(_ word: UInt64, _ owner: UInt32, inherits: Bool, remains: Bool, isPending: Bool) {
    guard word & 3 == 0, word < memory.limit, var value = memory.load(UInt32.self, at: word) else { return }
    if isPending, !inherits, value & FutexWord.owner == 0 { return wake(word) }
    memory.prepareHostWrite(word, size: 4)
    while value & FutexWord.owner == owner {
      if inherits, remains, value & FutexWord.waiters != 0 { return handOverInheriting(word, owner) }
      let left = value & FutexWord.waiters | FutexWord.ownerDied
      let result = exchange(word, &value, left)
      if result == 1 { continue }
      // Those who inherit are woken by the host kernel, when the host thread ends.
      if result == 0, value & FutexWord.waiters != 0, !inherits { wake(word) }
      return
    }
  }

  private func exchange(_ word: UInt64, _ expected: inout UInt32, _ desired: UInt32) -> Int32 {
    vt_guard_exchange(
      UnsafeMutableRawPointer(bitPattern: UInt(memory.hostArgument(word))), &expected, desired)
  }

  /// The host kernel knows the host thread as the owner, and somebody waits. It gives the futex to the next in line but does not say that
  /// its owner has died; that is added behind it.
  private func handOverInheriting(_ word: UInt64, _ owner: UInt32) {
    let isShared = memory.query(word)?.flags.contains(.shared) ?? false
    let operation = FutexOperation.unlockInheriting | (isShared ? 0 : FutexOperation.isPrivate)
    if host.call(202, memory.hostArgument(word), operation) != 0 { return }
    guard var value = memory.load(UInt32.self, at: word) else { return }
    while value & FutexWord.owner != owner, exchange(word, &value, value | FutexWord.ownerDied) == 1 {}
  }
}
