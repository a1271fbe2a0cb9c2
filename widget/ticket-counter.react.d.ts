/** <ticket-counter> in JSX of React 18 and 19: `import type {} from "./ticket-counter.react"` once in the project. */
import type { DetailedHTMLProps, HTMLAttributes } from "react";
import type { TicketCounterAttributes, TicketCounterElement } from "./ticket-counter";

declare module "react" {
  namespace JSX {
    interface IntrinsicElements {
      "ticket-counter": DetailedHTMLProps<
        Omit<HTMLAttributes<TicketCounterElement>, keyof TicketCounterAttributes> & TicketCounterAttributes,
        TicketCounterElement
      >;
    }
  }
}
