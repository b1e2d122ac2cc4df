// Bit tests, scans, counts and fields: BT and its relatives, BSF, BSR, POPCNT, LZCNT, TZCNT, BEXTR, BZHI, PDEP, PEXT,
// BSWAP, MOVBE.

// MARK: - Bit tests

/// What a bit test does to the bit.
enum BitChange {
  case set, reset, complement
}

// PERF: as all semantics, inlined into handlers.
extension Semantics {
  @inline(__always) public static func bt<B: Backend, W: Width, S: Place>(
    _ b: inout B, _ base: Register<W>, _ offset: S
  ) {
    let index = bitIndex(&b, W.self, offset)
    let x = base.read(&b)
    testBit(&b, x, index)
  }

  @inline(__always) public static func bt<B: Backend, D: MemoryPlace, S: Place>(
    _ b: inout B, _ base: D, _ offset: S
  ) {
    let index = bitIndex(&b, D.Size.self, offset)
    let address = bitStringAddress(&b, base, offset)
    let x = b.load(D.Size.self, address)
    testBit(&b, x, index)
  }

  @inline(__always) public static func btImmediate<B: Backend, D: Place, S: Place>(
    _ b: inout B, _ base: D, _ offset: S
  ) {
    let index = bitIndex(&b, D.Size.self, offset)
    let x = base.read(&b)
    testBit(&b, x, index)
  }

  @inline(__always) public static func bts<B: Backend, W: Width, S: Place>(
    _ b: inout B, _ base: Register<W>, _ offset: S
  ) {
    changeBit(&b, base, offset, .set)
  }

  @inline(__always) public static func bts<B: Backend, D: MemoryPlace, S: Place>(
    _ b: inout B, _ base: D, _ offset: S
  ) {
    changeBitString(&b, base, offset, .set)
  }

  @inline(__always) public static func btsImmediate<B: Backend, D: Place, S: Place>(
    _ b: inout B, _ base: D, _ offset: S
  ) {
    changeBit(&b, base, offset, .set)
  }

  @inline(__always) public static func btr<B: Backend, W: Width, S: Place>(
    _ b: inout B, _ base: Register<W>, _ offset: S
  ) {
    changeBit(&b, base, offset, .reset)
  }

  @inline(__always) public static func btr<B: Backend, D: MemoryPlace, S: Place>(
    _ b: inout B, _ base: D, _ offset: S
  ) {
    changeBitString(&b, base, offset, .reset)
  }

  @inline(__always) public static func btrImmediate<B: Backend, D: Place, S: Place>(
    _ b: inout B, _ base: D, _ offset: S
  ) {
    changeBit(&b, base, offset, .reset)
  }

  @inline(__always) public static func btc<B: Backend, W: Width, S: Place>(
    _ b: inout B, _ base: Register<W>, _ offset: S
  ) {
    changeBit(&b, base, offset, .complement)
  }

  @inline(__always) public static func btc<B: Backend, D: MemoryPlace, S: Place>(
    _ b: inout B, _ base: D, _ offset: S
  ) {
    changeBitString(&b, base, offset, .complement)
  }

  @inline(__always) public static func btcImmediate<B: Backend, D: Place, S: Place>(
    _ b: inout B, _ base: D, _ offset: S
  ) {
    changeBit(&b, base, offset, .complement)
  }

  /// The offset modulo the operand's width.
  @inline(__always) static func bitIndex<B: Backend, W: Width, S: Place>(
    _ b: inout B, _ width: W.Type, _ offset: S
  ) -> B.Value {
    let raw = offset.read(&b)
    let mask = b.constant(W.bits - 1)
    return b.and(raw, mask)
  }

  /// The address of the word that holds bit `offset`, a signed number, of the string that begins at the operand.
  @inline(__always) static func bitStringAddress<B: Backend, D: MemoryPlace, S: Place>(
    _ b: inout B, _ base: D, _ offset: S
  ) -> B.Value {
    let start = base.address(&b)
    let raw = offset.read(&b)
    let signed = b.signExtend(S.Size.self, W64.self, raw)
    let three = b.constant(3)
    let bytes = b.shiftRightArithmetic(W64.self, signed, three)
    let mask = b.constant(~(D.Size.bits / 8 - 1))
    let words = b.and(bytes, mask)
    let address = b.add(W64.self, start, words)
    return b.completeAddress(address)
  }

  @inline(__always) static func testBit<B: Backend>(_ b: inout B, _ x: B.Value, _ index: B.Value) {
    let bit = b.shiftRight(W64.self, x, index)
    b.setFlag(.carry, bit)
  }

  @inline(__always) static func changed<B: Backend, W: Width>(
    _ b: inout B, _ width: W.Type, _ x: B.Value, _ index: B.Value, _ change: BitChange
  ) -> B.Value {
    let one = b.constant(1)
    let bit = b.shiftLeft(W.self, one, index)
    switch change {
    case .set: return b.or(x, bit)
    case .complement: return b.exclusiveOr(x, bit)
    case .reset:
      let mask = b.not(W.self, bit)
      return b.and(x, mask)
    }
  }

  @inline(__always) static func changeBit<B: Backend, D: Place, S: Place>(
    _ b: inout B, _ base: D, _ offset: S, _ change: BitChange
  ) {
    let index = bitIndex(&b, D.Size.self, offset)
    let (x, _) = base.update(&b) { b, x in changed(&b, D.Size.self, x, index, change) }
    testBit(&b, x, index)
  }

  @inline(__always) static func changeBitString<B: Backend, D: MemoryPlace, S: Place>(
    _ b: inout B, _ base: D, _ offset: S, _ change: BitChange
  ) {
    let index = bitIndex(&b, D.Size.self, offset)
    let address = bitStringAddress(&b, base, offset)
    let (x, _) = base.update(&b, at: address) { b, x in changed(&b, D.Size.self, x, index, change) }
    testBit(&b, x, index)
  }
}

// MARK: - Scans and counts

extension Semantics {
  /// A source of 0 leaves the whole destination register as it was.
  @inline(__always) public static func bsf<B: Backend, W: Width, S: Place>(
    _ b: inout B, _ destination: Register<W>, _ source: S
  ) {
    let x = source.read(&b)
    let place = b.trailingZeros(W.self, x)
    scanned(&b, destination, x, place)
  }

  @inline(__always) public static func bsr<B: Backend, W: Width, S: Place>(
    _ b: inout B, _ destination: Register<W>, _ source: S
  ) {
    let x = source.read(&b)
    let zeros = b.leadingZeros(W.self, x)
    let last = b.constant(W.bits - 1)
    let place = b.subtract(W.self, last, zeros)
    scanned(&b, destination, x, place)
  }

  @inline(__always) static func scanned<B: Backend, W: Width>(
    _ b: inout B, _ destination: Register<W>, _ x: B.Value, _ place: B.Value
  ) {
    let zero = b.constant(0)
    let found = b.less(zero, x)
    b.writeRegister(if: found, W.self, destination.offset, place)
    let none = isZero(&b, x)
    b.setFlag(.zero, none)
  }

  @inline(__always) public static func popcnt<B: Backend, D: Place, S: Place>(
    _ b: inout B, _ destination: D, _ source: S
  ) {
    let x = source.read(&b)
    let count = b.populationCount(x)
    destination.write(&b, count)
    let zero = b.constant(0)
    // A count has no sign bit, but its parity is not wanted: PF is always 0.
    b.setFlags(D.Size.self, result: count, carry: zero, overflow: zero)
    b.setFlag(.parity, zero)
  }

  @inline(__always) public static func lzcnt<B: Backend, D: Place, S: Place>(
    _ b: inout B, _ destination: D, _ source: S
  ) {
    let x = source.read(&b)
    let count = b.leadingZeros(D.Size.self, x)
    counted(&b, destination, x, count)
  }

  @inline(__always) public static func tzcnt<B: Backend, D: Place, S: Place>(
    _ b: inout B, _ destination: D, _ source: S
  ) {
    let x = source.read(&b)
    let count = b.trailingZeros(D.Size.self, x)
    counted(&b, destination, x, count)
  }

  /// CF tells that the source was 0, ZF that the count is.
  @inline(__always) static func counted<B: Backend, D: Place>(
    _ b: inout B, _ destination: D, _ x: B.Value, _ count: B.Value
  ) {
    destination.write(&b, count)
    let zero = b.constant(0)
    let none = isZero(&b, x)
    b.setFlags(D.Size.self, result: count, carry: none, overflow: zero)
  }
}

// MARK: - Fields

extension Semantics {
  /// `control`: bits 0…7 start, bits 8…15 length.
  @inline(__always) public static func bextr<B: Backend, D: Place, S: Place, T: Place>(
    _ b: inout B, _ destination: D, _ source: S, _ control: T
  ) {
    let x = source.read(&b)
    let control = control.read(&b)
    let byte = b.constant(0xff)
    let start = b.and(control, byte)
    let eight = b.constant(8)
    let above = b.shiftRight(W64.self, control, eight)
    let length = b.and(above, byte)
    let shifted = shiftRightSaturating(&b, x, start)
    let result = lowBits(&b, D.Size.self, shifted, length)
    destination.write(&b, result)
    let zero = b.constant(0)
    b.setFlags(D.Size.self, result: result, carry: zero, overflow: zero)
  }

  /// `x >> count` for counts of 0…255.
  @inline(__always) static func shiftRightSaturating<B: Backend>(
    _ b: inout B, _ x: B.Value, _ count: B.Value
  ) -> B.Value {
    let limit = b.constant(64)
    let zero = b.constant(0)
    let inside = b.less(count, limit)
    let shifted = b.shiftRight(W64.self, x, count)
    return b.select(inside, shifted, zero)
  }

  /// The low `count` (0…255) bits of `x`.
  @inline(__always) static func lowBits<B: Backend, W: Width>(
    _ b: inout B, _ width: W.Type, _ x: B.Value, _ count: B.Value
  ) -> B.Value {
    let limit = b.constant(W.bits)
    let one = b.constant(1)
    let inside = b.less(count, limit)
    let power = b.shiftLeft(W64.self, one, count)
    let mask = b.subtract(W64.self, power, one)
    let low = b.and(x, mask)
    return b.select(inside, low, x)
  }

  /// Zeroes the bits from `index` up; CF tells that the index is beyond the operand.
  @inline(__always) public static func bzhi<B: Backend, D: Place, S: Place, T: Place>(
    _ b: inout B, _ destination: D, _ source: S, _ index: T
  ) {
    let x = source.read(&b)
    let index = index.read(&b)
    let byte = b.constant(0xff)
    let count = b.and(index, byte)
    let result = lowBits(&b, D.Size.self, x, count)
    destination.write(&b, result)
    let last = b.constant(D.Size.bits - 1)
    let beyond = b.less(last, count)
    let carry = b.bit(beyond)
    let zero = b.constant(0)
    b.setFlags(D.Size.self, result: result, carry: carry, overflow: zero)
  }

  @inline(__always) public static func pdep<B: Backend, D: Place, S: Place, T: Place>(
    _ b: inout B, _ destination: D, _ source: S, _ mask: T
  ) {
    let mask = mask.read(&b)
    let x = source.read(&b)
    let result = b.depositBits(x, mask: mask)
    destination.write(&b, result)
  }

  @inline(__always) public static func pext<B: Backend, D: Place, S: Place, T: Place>(
    _ b: inout B, _ destination: D, _ source: S, _ mask: T
  ) {
    let mask = mask.read(&b)
    let x = source.read(&b)
    let result = b.extractBits(x, mask: mask)
    destination.write(&b, result)
  }

  /// The 16-bit form is undefined; silicon clears the register.
  @inline(__always) public static func bswap<B: Backend, D: Place>(_ b: inout B, _ destination: D) {
    let x = destination.read(&b)
    let result = D.Size.bits == 16 ? b.constant(0) : b.byteSwap(D.Size.self, x)
    destination.write(&b, result)
  }

  @inline(__always) public static func movbe<B: Backend, D: Place, S: Place>(
    _ b: inout B, _ destination: D, _ source: S
  ) {
    let x = source.read(&b)
    let result = b.byteSwap(D.Size.self, x)
    destination.write(&b, result)
  }
}
