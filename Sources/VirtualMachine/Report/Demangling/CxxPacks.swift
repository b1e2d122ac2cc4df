// Finds the packs that a pattern repeats.

extension CxxPrinter {
  /// How many elements the first pack of a pattern has; nil without one.
  mutating func packCount(_ pattern: Int) throws(CxxUnreadable) -> Int? {
    try enter()
    defer { leave() }
    if case .parameter(let number) = nodes[pattern] {
      guard !isInLambda, case .pack(let list) = try nodes[argument(number)] else { return nil }
      return list.count
    }
    for part in parts(nodes[pattern]) {
      if let count = try packCount(part) { return count }
    }
    return nil
  }

  /// The parts in which packs are looked for.
  private func parts(_ node: CxxNode) -> [Int] {
    switch node {
    case .member(let first, let second), .local(let first, let second), .array(let first, let second?),
      .vector(let first, let second), .memberPointer(let first, let second),
      .vendorQualified(let first, let second), .cast(_, let first, let second),
      .subscripted(let first, let second), .binary(let first, _, let second),
      .encoding(let first, let second):
      return [first, second]
    case .template(let name, let list): return [name] + list
    case .structor(let part, _), .conversion(let part), .prefixed(_, let part), .qualified(let part, _),
      .pointer(let part), .reference(let part, _), .suffixed(let part, _), .array(let part, nil),
      .enclosed(_, let part), .expansion(let part), .literal(let part, _, _), .unary(_, let part),
      .postfix(let part, _), .tagged(let part, _):
      return [part]
    case .function(let returned, let parameters, _): return (returned.map { [$0] } ?? []) + parameters
    case .pack(let list), .initializer(nil, let list), .counted(let list): return list
    case .conditional(let first, let second, let third): return [first, second, third]
    case .call(let function, let list), .converted(let function, let list, _),
      .initializer(let function?, let list):
      return [function] + list
    case .fold(let left, _, let right): return (left.map { [$0] } ?? []) + (right.map { [$0] } ?? [])
    case .allocation(_, let placement, let type, let values): return placement + [type] + (values ?? [])
    default: return []
    }
  }
}
