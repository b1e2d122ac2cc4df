// What several guest threads need of the memory that they share: the lock that is held wherever Vitrine's own code runs, and
// the observers that keep decoded code. The lock is given up for guest code and for host calls that wait, and only there; so
// tables, translations and the personality's state need no other. With one thread nothing is locked.
//
//     engine    … tables … │ presence: inside │ guest code │ outside │ … tables …
//     lock      held       │ free             │            │         │ held
//
// A thread that changes code holds the lock, brings every other thread that has decoded it out of guest code, and changes
// their tables for them; they cannot return before the lock is free again.
import CHost

/// One engine's interest in decoded code.
public final class CodeObserver {
  /// All pages, to be forgotten before execve(2).
  public static let everything: Range<UInt64> = 0..<UInt64(Int.max)

  let hasCode: (_ pages: Range<UInt64>) -> Bool
  let forget: (_ pages: Range<UInt64>) -> Void
  // SAFETY: allocated in init, freed in deinit; others reach it only through the list of observers, under the lock.
  let presence: UnsafeMutablePointer<vt_presence>

  /// `hasCode` tells whether something has been decoded from these page numbers, `forget` is to forget it. Both are called by
  /// whichever thread changes the code, while the observer's own thread is outside guest code.
  public init(hasCode: @escaping (Range<UInt64>) -> Bool, forget: @escaping (Range<UInt64>) -> Void) {
    self.hasCode = hasCode
    self.forget = forget
    presence = .allocate(capacity: 1)
    presence.initialize(to: vt_presence())
  }

  deinit { presence.deallocate() }
}

extension AddressSpace {
  /// From now on `observer` hears of changes of code.
  public func add(_ observer: CodeObserver) { observers.append(observer) }

  public func remove(_ observer: CodeObserver) { observers.removeAll { $0 === observer } }

  /// The number of observers, for tests.
  public var observerCount: Int { observers.count }

  /// Has all observers forget what was decoded from these pages. First everybody leaves it: engines may share what they know, so
  /// that the first one's forgetting is the others', too.
  func tellObservers(_ pages: Range<UInt64>) {
    if isThreaded {
      for observer in observers where observer.presence.pointee.inside != 0 && observer.hasCode(pages) {
        vt_presence_evict(observer.presence)
      }
    }
    for observer in observers { observer.forget(pages) }
  }

  /// Brings all threads out of guest code; they cannot return before the caller has given up the lock.
  public func evictAll() {
    if !isThreaded { return }
    for observer in observers { vt_presence_evict(observer.presence) }
  }

  // MARK: The lock

  /// A second thread is about to start: from now on the lock counts, and the caller holds it.
  public func beginThreads() {
    if isThreaded { return }
    vt_lock_acquire(lock)
    isThreaded = true
    directCalls.pointee.has_threads = 1
  }

  /// In a forked child, whose only thread is the caller: forgets the others.
  public func endThreads(keeping isOwn: (CodeObserver) -> Bool) {
    isThreaded = false
    directCalls.pointee.has_threads = 0
    lock.pointee.word = 0
    observers.removeAll { !isOwn($0) }
    for observer in observers { observer.presence.pointee = vt_presence() }
  }

  /// Takes the lock, for a thread that begins or has waited.
  public func acquire() {
    if !isThreaded { return }
    vt_lock_acquire(lock)
    if let turn { vt_turn_acquire(turn) }
  }

  /// Gives the lock up, for a thread that ends or waits.
  public func release() {
    if !isThreaded { return }
    if let turn { vt_turn_release(turn) }
    vt_lock_release(lock)
  }

  /// Lets others have the lock, or the turn, if somebody waits for it. For a thread that works for long without giving it up.
  public func yieldLock() {
    if !isThreaded { return }
    if let turn, vt_turn_is_awaited(turn) != 0 {
      vt_turn_release(turn)
      AddressSpace.wait(while: { vt_turn_is_free(turn) != 0 })
      vt_turn_acquire(turn)
    }
    if lock.pointee.word != 2 { return }
    release()
    AddressSpace.wait(while: { lock.pointee.word == 0 })
    acquire()
  }

  /// Who was woken needs some time; the lock is not to be taken from him. On a busy host he needs the processor, too.
  private static func wait(while isFree: () -> Bool) {
    var attempts = 0
    while isFree(), attempts < 20_200 {
      if attempts < 20_000 { vt_pause() } else { HostMemory.yieldProcessor() }
      attempts &+= 1
    }
  }

  /// Gives the lock up for a moment, for a thread that waits for what others have to do under it.
  public func giveWay() {
    release()
    HostMemory.yieldProcessor()
    acquire()
  }

  /// Gives the lock up for guest code of `observer`'s engine. True when there was something to give up: `leaveGuest` follows.
  // PERF: one load and one branch as long as there is one thread.
  @inline(__always)
  public func enterGuest(_ observer: CodeObserver, _ attention: UnsafeMutablePointer<UInt32>) -> Bool {
    if !isThreaded || keepsLock { return false }
    vt_presence_enter(observer.presence, attention, lock)
    return true
  }

  public func leaveGuest(_ observer: CodeObserver) { vt_presence_leave(observer.presence, lock) }
}
