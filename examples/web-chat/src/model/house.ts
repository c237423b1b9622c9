// All that the page shows: one client, the rooms that were opened over it, and the line's state in words that a
// person can use. Tells its listeners that something changed; they read what they need.

import type { RealtimeClient, Sending } from "homing";
import type { NetworkSwitch } from "./network.js";
import type { Person } from "./person.js";
import { Room, type RoomHome } from "./room.js";
import { sentence } from "./words.js";

/** How the line looks. */
export interface Line {
  readonly kind: "open" | "trying" | "away" | "cut" | "over";
  readonly title: string;
  readonly detail: string;
}

export interface Complaint {
  readonly what: string;
  readonly why: string;
}

interface Listeners {
  room: (room: Room) => void;
  rooms: () => void;
  line: () => void;
  flight: (direction: "out" | "in") => void;
  complaint: (complaint: Complaint) => void;
}

const KEY = "homing-chat-rooms";
const FIRST: readonly string[] = ["lobby", "garden", "rooftop"];

/** What a room may be called: the name is part of a channel's. */
export const roomName = (text: string): string =>
  text
    .trim()
    .toLowerCase()
    .replace(/[^a-z0-9-]+/g, "-")
    .replace(/^-+|-+$/g, "")
    .slice(0, 32);

export class House implements RoomHome {
  readonly client: RealtimeClient;
  readonly me: Person;
  readonly network: NetworkSwitch;
  /** Has the backend speak in the lobby; undefined: there is none. */
  readonly announce: ((text: string) => Promise<void>) | undefined;
  readonly #rooms = new Map<string, Room>();
  readonly #listeners: { [T in keyof Listeners]: Set<Listeners[T]> } = {
    room: new Set(),
    rooms: new Set(),
    line: new Set(),
    flight: new Set(),
    complaint: new Set(),
  };
  #current = "";
  /** Since when there is no connection; undefined: there is one. */
  #lostAt: number | undefined = Date.now();
  #away = 0;
  /** Whether what was written last is kept in memory only. */
  #volatile = false;

  constructor(client: RealtimeClient, me: Person, network: NetworkSwitch, announce?: House["announce"]) {
    this.client = client;
    this.me = me;
    this.network = network;
    this.announce = announce;
    client.on("state", ({ status }) => {
      if (status !== "connected") this.#lostAt ??= Date.now();
      else if (this.#lostAt !== undefined) {
        this.#away = Date.now() - this.#lostAt;
        this.#lostAt = undefined;
      }
      this.#tell("line");
    });
    client.on("health", () => this.#tell("line"));
    client.on("error", (error) => {
      // That the server has ended the connection stands on the line.
      if (!error.retryable && error.name !== "closed_by_server") this.complain("The client reports", sentence(error));
    });
    client.on("fatal", (error) => this.complain("The client has stopped; reload the page", sentence(error)));
    network.onChange(() => this.#tell("line"));
    client.outbox.on("change", ({ type, entry }) => {
      if (type === "state" && entry.state === "sending") this.#tell("flight", "out");
    });
    // Where nothing can be stored, what waits would be lost with the page.
    window.addEventListener("beforeunload", (event) => {
      if (this.#volatile && client.outbox.size.count > 0) event.preventDefault();
    });
  }

  get away(): number {
    return this.#away;
  }

  get rooms(): readonly Room[] {
    return [...this.#rooms.values()];
  }

  /** One's own messages in all rooms that the server does not have yet. */
  get waiting(): number {
    return this.rooms.reduce((sum, room) => sum + room.waiting, 0);
  }

  get current(): Room {
    return this.#rooms.get(this.#current) ?? this.#add(FIRST[0] as string);
  }

  /** The line in words; slow to worry, as the client's health is. */
  get line(): Line {
    const { state, health } = this.client;
    if (this.network.isCut) {
      return { kind: "cut", title: "The line is cut", detail: "Write on. It all arrives when you mend it." };
    }
    switch (state.status) {
      case "connected":
        return { kind: "open", title: "Connected", detail: "Messages come and go." };
      case "closed":
      case "disconnected":
        return { kind: "over", title: "Disconnected", detail: state.reason.text };
      case "connecting":
        if (health === "ok") return { kind: "trying", title: "Connecting", detail: "One moment." };
        if (health === "degraded") {
          return { kind: "away", title: "Reconnecting", detail: "The server is out of reach. Your messages wait here." };
        }
        return { kind: "away", title: "Still no connection", detail: "Trying on. Nothing you wrote is lost." };
    }
  }

  on<T extends keyof Listeners>(type: T, listener: Listeners[T]): void {
    this.#listeners[type].add(listener);
  }

  /** Connects, and enters the room that the address names. */
  open(): void {
    for (const name of recallRooms()) this.#add(name);
    window.addEventListener("hashchange", () => this.enter(location.hash.slice(1)));
    this.client.connect();
    this.enter(location.hash.slice(1));
  }

  enter(text: string): void {
    const name = roomName(text) || (FIRST[0] as string);
    if (name === this.#current) return;
    this.#current = name;
    this.#add(name);
    // The first room makes no step back to an address without one.
    if (location.hash === "") history.replaceState(null, "", `#${name}`);
    else if (location.hash !== `#${name}`) location.hash = name;
    rememberRooms(this.rooms.map((room) => room.name));
    this.#tell("rooms");
  }

  changed(room: Room): void {
    this.#tell("room", room);
  }

  flew(direction: "out" | "in"): void {
    this.#tell("flight", direction);
  }

  kept(sending: Sending): void {
    sending.catch(() => undefined);
    sending.stored.then(({ durably }) => (this.#volatile = !durably)).catch(() => undefined);
  }

  complain(what: string, why: string): void {
    this.#tell("complaint", { what, why });
  }

  #add(name: string): Room {
    let room = this.#rooms.get(name);
    if (!room) {
      room = new Room(name, this);
      this.#rooms.set(name, room);
    }
    return room;
  }

  #tell<T extends keyof Listeners>(type: T, ...given: Parameters<Listeners[T]>): void {
    for (const listener of this.#listeners[type]) (listener as (...given: Parameters<Listeners[T]>) => void)(...given);
  }
}

const recallRooms = (): readonly string[] => {
  try {
    const names: unknown = JSON.parse(localStorage.getItem(KEY) ?? "null");
    if (Array.isArray(names)) {
      const known = names.filter((name): name is string => typeof name === "string").map(roomName).filter(Boolean);
      if (known.length > 0) return known.slice(0, 20);
    }
  } catch {
    // Storage is refused, or holds something else: the first rooms.
  }
  return FIRST;
};

const rememberRooms = (names: readonly string[]): void => {
  try {
    localStorage.setItem(KEY, JSON.stringify(names));
  } catch {
    // Then they last as long as the page.
  }
};
