/**
 * Types of <ticket-counter>, for pages in TypeScript and for editors: `import type {} from "./ticket-counter"`, or name the file in `types`.
 * With React, ticket-counter.react.d.ts too. The members are those of the public contract, version 1 (docs/contract.md).
 */

/** What may be said of a ticket; treat one that you do not know as `unknown`. */
export type TicketState = "available" | "low" | "sold_out" | "scheduled" | "closed" | "ended" | "gone" | "unknown";

export interface TicketPrice {
  /** A decimal number. */
  readonly amount: string;
  /** ISO 4217, such as EUR. */
  readonly currency: string;
  /** Id and name of the pricing option; null where there is one price. */
  readonly option: string | null;
  readonly name: string | null;
}

export interface Counter {
  readonly v: number;
  readonly ticket: string;
  readonly event: string | null;
  readonly state: TicketState;
  /** Tickets that are left; null = no limit, or not public. */
  readonly unsold: number | null;
  readonly prices: readonly TicketPrice[];
  /** Whether several prices share the number. */
  readonly shared: boolean;
  readonly fees: "added" | "included" | "none" | null;
  /** Untrusted text: show it as text, never as HTML. */
  readonly name: string | null;
  /** ISO 8601 in UTC; the zone is an IANA name. */
  readonly sale: { readonly start: string | null; readonly end: string | null; readonly zone: string | null };
  /** Where it can be bought. */
  readonly buy: string | null;
}

/** Each change of a counter; it bubbles, and crosses shadow roots. */
export interface TicketCounterEvent extends Event {
  readonly type: "ticket-counter";
  readonly counter: Counter;
}

/** An attribute that counts when it is there. React 18 writes `false` into the page, which is there: give `undefined` instead. */
export type Present = true | "";

/** The attributes of the element, as they stand in HTML; widget/README.md says what each does. */
export interface TicketCounterAttributes {
  /** Id of the ticket definition. */
  ticket?: string;
  /** Id or slug of an event: one line for each ticket that a visitor may see. */
  event?: string;
  /** Id of the app instance. */
  site?: string;
  /** Address of the counter server, if the script is not loaded from it. */
  server?: string;
  /** Language of the sentence, instead of that of the page. */
  lang?: string;
  /** Id or name of the pricing option whose price is shown. */
  option?: string;
  /** Show the ticket's name. */
  "show-name"?: Present;
  /** Show the price. */
  "show-price"?: Present;
  /** Show a link to where it can be bought. */
  "show-link"?: Present;
  /** Connect even while the element is not in view. */
  eager?: Present;
  /** Say beside the counter why it shows nothing. */
  "tc-debug"?: Present;
  /** Wording of your own by state, and by plural category: `text-low`, `text-low-one`. */
  [wording: `text-${string}`]: string | undefined;
}

export interface TicketCounterEventMap extends HTMLElementEventMap {
  "ticket-counter": TicketCounterEvent;
}

export interface TicketCounterElement extends HTMLElement {
  /** The last counter; null until there is one. */
  readonly counter: Counter | null;
  addEventListener<K extends keyof TicketCounterEventMap>(
    type: K,
    listener: (this: TicketCounterElement, event: TicketCounterEventMap[K]) => unknown,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject,
    options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener<K extends keyof TicketCounterEventMap>(
    type: K,
    listener: (this: TicketCounterElement, event: TicketCounterEventMap[K]) => unknown,
    options?: boolean | EventListenerOptions,
  ): void;
  removeEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject,
    options?: boolean | EventListenerOptions,
  ): void;
}

declare global {
  interface HTMLElementTagNameMap {
    "ticket-counter": TicketCounterElement;
  }
  // It bubbles: a listener may be on any element, or on the document.
  interface GlobalEventHandlersEventMap {
    "ticket-counter": TicketCounterEvent;
  }
}
