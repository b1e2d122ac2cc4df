// A context of native asynchronous I/O (io_setup(2)) and what has been submitted to it. The requests go to a context of the host's,
// which the guest never sees: its ring lies in Vitrine's memory, where the kernel may write when it likes. The guest has a ring of
// its own, a copy that is brought up to date in its system calls and changes at no other time:
//
//     guest's ring: id nr | head tail | magic … | events     head: by the guest, too, when it takes events without a call
//     host's ring:  the same, with tokens in the place of the guest's data and addresses
//
// So limits, order, cancellation and waiting are the kernel's.
import CHost
import GuestMemory

/// struct iocb, with its fields as the kernel has them (linux/aio_abi.h).
struct ControlBlock: BitwiseCopyable {
  var data: UInt64 = 0
  var key: UInt32 = 0
  var flagsOfTransfer: UInt32 = 0
  var operation: UInt16 = 0
  var priority: Int16 = 0
  var descriptor: Int32 = 0
  var buffer: UInt64 = 0
  var size: UInt64 = 0
  var offset: Int64 = 0
  var reserved: UInt64 = 0
  var flags: UInt32 = 0
  var eventDescriptor: Int32 = 0

  /// Where `key` lies.
  static let keyOffset: UInt64 = 8
  /// Bit of `flags`: `eventDescriptor` counts.
  static let signalsEvent: UInt32 = 1

  enum Operation {
    static let read: UInt16 = 0
    static let write: UInt16 = 1
    static let poll: UInt16 = 5
    static let readVector: UInt16 = 7
    static let writeVector: UInt16 = 8
  }
}

/// struct io_event.
struct CompletionEvent: BitwiseCopyable {
  var data: UInt64 = 0
  var block: UInt64 = 0
  var result: Int64 = 0
  var secondResult: Int64 = 0

  static let size: UInt64 = 32
}

/// What the host has been asked to do and the guest has not heard the end of.
final class AsynchronousRequest {
  /// The guest's struct iocb and the data in it.
  let place: UInt64
  let data: UInt64
  let isPoll: Bool
  /// Tells requests apart, in the order in which they came.
  fileprivate(set) var token: UInt64 = 0
  /// Once the guest's ring has it.
  fileprivate(set) var result: Int64?
  /// What the host knows the request by; the kernel reads the key in it once more when the request is cancelled.
  // SAFETY: freed with the request, which its context keeps at least until the host is done with it.
  let block: UnsafeMutablePointer<ControlBlock>

  /// `block` is for the host; `data` is the guest's.
  init(_ block: ControlBlock, at place: UInt64, data: UInt64) {
    (self.place, self.data) = (place, data)
    isPoll = block.operation == ControlBlock.Operation.poll
    self.block = .allocate(capacity: 1)
    self.block.initialize(to: block)
  }

  deinit { block.deallocate() }
}

/// A context. Used under the address space's lock.
final class RequestContext {
  /// struct aio_ring without its events.
  struct Ring: BitwiseCopyable {
    var number: UInt32 = 0
    var capacity: UInt32 = 0
    var head: UInt32 = 0
    var tail: UInt32 = 0
    var magic: UInt32 = 0
    var features: UInt32 = 0
    var incompatibleFeatures: UInt32 = 0
    var headerSize: UInt32 = 0

    static let size: UInt64 = 32
    static let headOffset: UInt64 = 8
  }

  static let magic: UInt32 = 0xa10a_10a1

  /// The host's context, which is its ring's address.
  let host: UInt64
  /// The guest's context.
  private(set) var address: UInt64 = 0
  /// It is no more, and neither is the host's ring.
  var isDestroyed = false
  /// The guest's ring as it was left; its number and capacity never change.
  private var shown = Ring()
  private var requests: [UInt64: AsynchronousRequest] = [:]
  private var lastToken: UInt64 = 0
  /// Requests that the host works on.
  private var unfinished = 0

  /// Nil when there is no ring.
  init?(host: UInt64) {
    self.host = host
    guard RequestContext.copy(&shown, from: host), shown.capacity != 0 else { return nil }
  }

  var number: UInt32 { shown.number }
  var capacity: UInt32 { shown.capacity }
  /// The ring's bytes: whole pages.
  var size: UInt64 { Ring.size &+ UInt64(capacity) &* CompletionEvent.size }

  /// Puts the ring into guest memory. False when that is not there.
  func place(at address: UInt64, _ memory: AddressSpace) -> Bool {
    self.address = address
    return memory.store(shown, at: address)
  }

  // MARK: Requests

  /// Gives a request its token, which the host returns in place of the guest's data.
  func add(_ request: AsynchronousRequest) {
    lastToken &+= 1
    request.token = lastToken
    request.block.pointee.data = lastToken
    requests[lastToken] = request
    unfinished &+= 1
  }

  /// The host has not taken it.
  func remove(_ request: AsynchronousRequest) {
    requests[request.token] = nil
    unfinished &-= 1
  }

  /// The first request with this struct iocb that can be cancelled.
  func cancellable(_ place: UInt64) -> AsynchronousRequest? {
    requests.values.filter { $0.place == place && $0.isPoll && $0.result == nil }.min { $0.token < $1.token }
  }

  /// Gives events that the host has put at `start` the guest's data, and forgets their requests.
  func takeEvents(_ count: Int64, at start: UInt64, _ memory: AddressSpace) {
    for index in 0..<UInt64(max(count, 0)) {
      let place = start &+ index &* CompletionEvent.size
      guard let event = memory.load(CompletionEvent.self, at: place) else { return }
      _ = memory.store(translated(event), at: place)
      requests[event.data] = nil
    }
  }

  private func translated(_ event: CompletionEvent) -> CompletionEvent {
    var event = event
    let request = requests[event.data]
    (event.data, event.block) = (request?.data ?? 0, request?.place ?? 0)
    return event
  }

  // MARK: The rings

  /// Tells the host of events that the guest has taken out of its ring without a call.
  func takeHead(_ memory: AddressSpace) {
    guard !isDestroyed, var head = memory.load(UInt32.self, at: address &+ Ring.headOffset),
      head != shown.head
    else { return }
    var place = shown.head % capacity
    while place != head % capacity {
      var event = CompletionEvent()
      guard copyEvent(place, &event) else { return }
      if requests[event.data]?.result != nil { requests[event.data] = nil }
      place = (place &+ 1) % capacity
    }
    shown.head = head
    withUnsafeBytes(of: &head) { bytes in
      guard let source = bytes.baseAddress, let ring = RequestContext.pointer(host &+ Ring.headOffset) else {
        return
      }
      _ = vt_guard_copy(ring, source, bytes.count)
    }
  }

  /// Brings the guest's ring up to date. As long as requests wait, it has no magic: who reads rings without a call, such as libaio, asks
  /// the kernel then.
  func show(_ memory: AddressSpace) {
    var ring = Ring()
    if isDestroyed || !RequestContext.copy(&ring, from: host) { return }
    var tail = shown.tail % capacity
    while tail != ring.tail % capacity {
      var event = CompletionEvent()
      guard copyEvent(tail, &event) else { return }
      if let request = requests[event.data], request.result == nil {
        request.result = event.result
        unfinished &-= 1
      }
      _ = memory.store(translated(event), at: address &+ eventOffset(tail))
      tail = (tail &+ 1) % capacity
    }
    ring.magic = unfinished == 0 ? RequestContext.magic : 0
    if ring.head != shown.head { store(ring.head, Ring.headOffset, memory) }
    if ring.tail != shown.tail { store(ring.tail, Ring.headOffset &+ 4, memory) }
    if ring.magic != shown.magic { store(ring.magic, Ring.headOffset &+ 8, memory) }
    shown = ring
  }

  private func store(_ word: UInt32, _ offset: UInt64, _ memory: AddressSpace) {
    _ = memory.store(word, at: address &+ offset)
  }

  private func eventOffset(_ place: UInt32) -> UInt64 { Ring.size &+ UInt64(place) &* CompletionEvent.size }

  private func copyEvent(_ place: UInt32, _ event: inout CompletionEvent) -> Bool {
    RequestContext.copy(&event, from: host &+ eventOffset(place))
  }

  /// Reads the host's memory, which another context's end cannot make a fault.
  private static func copy<Value: BitwiseCopyable>(_ value: inout Value, from address: UInt64) -> Bool {
    withUnsafeMutableBytes(of: &value) { bytes in
      guard let destination = bytes.baseAddress, let source = pointer(address) else { return false }
      return vt_guard_copy(destination, source, bytes.count) == 0
    }
  }

  private static func pointer(_ address: UInt64) -> UnsafeMutableRawPointer? {
    UnsafeMutableRawPointer(bitPattern: UInt(truncatingIfNeeded: address))
  }
}
