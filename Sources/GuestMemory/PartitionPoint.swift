// Search in what is ordered.

extension RandomAccessCollection where Index == Int {
  /// The index of the first element that is not `isInFront`, which the first ones are and the others are not; `endIndex` when all are.
  @inlinable public func partitionPoint(_ isInFront: (Element) -> Bool) -> Int {
    var (low, high) = (startIndex, endIndex)
    while low < high {
      let middle = low &+ (high &- low) / 2
      if isInFront(self[middle]) { low = middle &+ 1 } else { high = middle }
    }
    return low
  }
}
