// Comparisons, minimum and maximum with x86's exceptions and its asymmetric answers for NaNs and zeros.

/// The relation of two values.
public enum FloatRelation: UInt8, Sendable {
  case less
  case equal
  case greater
  case unordered
}

extension FloatEnvironment {
  /// Compares. A signalling NaN is invalid, a quiet one only when `isSignalling` (COMISS against UCOMISS).
  public mutating func compare(_ a: FloatValue, _ b: FloatValue, isSignalling: Bool) -> FloatRelation {
    let a = prepare(a)
    let b = prepare(b)
    if a.kind == .unsupported || b.kind == .unsupported {
      raise(.invalid)
      return .unordered
    }
    if a.isNaN || b.isNaN {
      if isSignalling || a.kind == .signallingNaN || b.kind == .signallingNaN { raise(.invalid) }
      return .unordered
    }
    noteDenormals(a, b)
    if a.kind == .zero && b.kind == .zero { return .equal }
    if a.isNegative != b.isNegative || a.kind == .zero || b.kind == .zero {
      let aIsLess = a.kind == .zero ? !b.isNegative : a.isNegative
      return aIsLess ? .less : .greater
    }
    let magnitudes = compareMagnitudes(a, b)
    if magnitudes == .equal { return .equal }
    return (magnitudes == .less) != a.isNegative ? .less : .greater
  }

  private func compareMagnitudes(_ a: FloatValue, _ b: FloatValue) -> FloatRelation {
    if a.kind == .infinity || b.kind == .infinity {
      if a.kind == b.kind { return .equal }
      return a.kind == .infinity ? .greater : .less
    }
    if a.exponent != b.exponent { return a.exponent < b.exponent ? .less : .greater }
    if a.significand == b.significand { return .equal }
    return a.significand < b.significand ? .less : .greater
  }

  /// MINPS and its kin: `b` when the values are equal or unordered.
  public mutating func minimum(_ a: FloatValue, _ b: FloatValue) -> FloatValue {
    compare(a, b, isSignalling: true) == .less ? prepare(a) : prepare(b)
  }

  /// MAXPS and its kin: `b` when the values are equal or unordered.
  public mutating func maximum(_ a: FloatValue, _ b: FloatValue) -> FloatValue {
    compare(a, b, isSignalling: true) == .greater ? prepare(a) : prepare(b)
  }

  /// CMPPS and its kin: predicate 0…31 (SDM volume 2, CMPPD, table 3-1).
  public mutating func compare(_ a: FloatValue, _ b: FloatValue, predicate: UInt8) -> Bool {
    // The predicates 1, 2, 5, 6 of each group of eight and, inverted by bit 4, the others signal on quiet
    // NaNs.
    let low = predicate & 7
    let isRelational = low == 1 || low == 2 || low == 5 || low == 6
    let isSignalling = isRelational != (predicate & 16 != 0)
    let relation = compare(a, b, isSignalling: isSignalling)
    return FloatEnvironment.holds(predicate: predicate & 15, relation)
  }

  /// Whether a predicate (0…15) answers true for a relation.
  static func holds(predicate: UInt8, _ relation: FloatRelation) -> Bool {
    // One bit a relation: 1 less, 2 equal, 4 greater, 8 unordered.
    let answers: UInt8
    switch predicate {
    case 0: answers = 0b0010  // EQ: equal
    case 1: answers = 0b0001  // LT
    case 2: answers = 0b0011  // LE
    case 3: answers = 0b1000  // UNORD
    case 4: answers = 0b1101  // NEQ
    case 5: answers = 0b1110  // NLT
    case 6: answers = 0b1100  // NLE
    case 7: answers = 0b0111  // ORD
    case 8: answers = 0b1010  // EQ_UQ
    case 9: answers = 0b1001  // NGE
    case 10: answers = 0b1011  // NGT
    case 11: answers = 0b0000  // FALSE
    case 12: answers = 0b0101  // NEQ_OQ
    case 13: answers = 0b0110  // GE
    case 14: answers = 0b0100  // GT
    default: answers = 0b1111  // TRUE
    }
    return answers & (1 &<< relation.rawValue) != 0
  }
}
