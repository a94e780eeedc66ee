/** A place of a value in a {@link LinkedList}. It is in at most one list at a time. */
export class ListNode<T> {
  readonly value: T
  previous: ListNode<T> | undefined
  next: ListNode<T> | undefined

  constructor(value: T) {
    this.value = value
  }
}

/**
 * A doubly linked list. Its owner keeps the nodes, so a value in the middle of the list can be
 * removed at once.
 */
export class LinkedList<T> {
  first: ListNode<T> | undefined
  last: ListNode<T> | undefined

  /** Inserts a node before `next`, or last if `next` is `undefined`. */
  insertBefore(next: ListNode<T> | undefined, node: ListNode<T>): void {
    const previous = next === undefined ? this.last : next.previous
    node.previous = previous
    node.next = next
    if (previous === undefined) this.first = node
    else previous.next = node
    if (next === undefined) this.last = node
    else next.previous = node
  }

  remove(node: ListNode<T>): void {
    const { previous, next } = node
    if (previous === undefined) this.first = next
    else previous.next = next
    if (next === undefined) this.last = previous
    else next.previous = previous
    node.previous = undefined
    node.next = undefined
  }
}
