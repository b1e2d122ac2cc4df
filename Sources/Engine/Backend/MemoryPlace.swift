// Places whose address a semantic uses: bit strings beyond the operand, double-width exchanges, areas.

/// An operand in memory of which the address can be had.
public protocol AddressablePlace {
  /// The guest address.
  func address<B: Backend>(_ b: inout B) -> B.Value
}

/// An integer operand in memory.
public protocol MemoryPlace: Place, AddressablePlace {
  /// As `update`, at another address than the operand's own.
  func update<B: Backend>(
    _ b: inout B, at address: B.Value, _ body: (inout B, B.Value) -> B.Value
  ) -> (old: B.Value, new: B.Value)
}

extension Memory: MemoryPlace {
  // PERF: as all places.
  @inline(__always) public func update<B: Backend>(
    _ b: inout B, at address: B.Value, _ body: (inout B, B.Value) -> B.Value
  ) -> (old: B.Value, new: B.Value) {
    let old = b.load(W.self, address)
    let new = body(&b, old)
    b.store(W.self, address, new)
    return (old, new)
  }

  /// The same operand under LOCK.
  @inline(__always) var locked: LockedMemory<W> { LockedMemory(base, displacement) }
}

extension LockedMemory: MemoryPlace {
  // PERF: as all places.
  @inline(__always) public func update<B: Backend>(
    _ b: inout B, at address: B.Value, _ body: (inout B, B.Value) -> B.Value
  ) -> (old: B.Value, new: B.Value) {
    b.atomicUpdate(W.self, address, body)
  }
}

extension Address: AddressablePlace {}
