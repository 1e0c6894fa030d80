/*
 * The protocol of doc/vchan.md between two sides that each write and read, or between one side and
 * a peer that does anything. `vchan/model/check` says which runs there are and what each must show.
 *
 * Memory is weakly ordered: a store waits in its side's buffer until it is flushed; a flush takes
 * any plain store that no earlier one to the same word precedes, but a release store only after all
 * that were issued before it. Loads of the peer's words are acquire loads and stay in order. A fence
 * waits until the buffer is empty. A side never loads what it stores: it has private copies.
 *
 * A lost wake-up, or a side that waits for the dead, shows as an invalid end state.
 */
#ifndef SIZE
#define SIZE 2           /* bytes in a ring */
#endif
#ifndef BYTES_0
#define BYTES_0 3        /* what side 0 has to say */
#endif
#ifndef BYTES_1
#define BYTES_1 0
#endif
#ifndef BUFFER
#define BUFFER 3         /* stores that may be under way */
#endif
#ifndef CANCELS
#define CANCELS 0        /* sleeps that a side may break off by itself */
#endif
#define WRAP 7           /* indices count modulo 8 … */
#define START 6          /* … and wrap on the way */

#define DATA_BIT 1
#define ROOM_BIT 2
#define ANY_BIT 3
#define TICKET(word) ((word) >> 2)

#define OPEN 1
#define FINISHED 2
#define CLOSED 3
#define NONSENSE 4

/* What the sides share, by who writes it. */
byte produced[2] = START;
byte consumed[2] = START;
byte asleep[2];          /* a ticket and what for */
byte life[2];
byte ring[4];            /* of side s: ring[2 * s], ring[2 * s + 1] */

/* Stores that were issued and can't be seen yet, earliest first. */
#define PRODUCED 0
#define CONSUMED 1
#define SLEEP 2
#define LIFE 3
#define RING 4           /* + slot */
typedef Store { byte where; byte what; bool release };
typedef Stores { Store at[BUFFER]; byte n };
Stores stores[2];

/* The host: doorbells keep a ring; the dead are told of when nothing of them is under way. */
bool bell[2];
bool died[2];
bool gone[2];

/* Only for assertions: how many bytes a side has committed. */
byte said[2];

#ifdef HOSTILE
#define store(w, v, r) skip  /* nobody honest looks */
#define fence() skip
#define next_ticket() skip
#define heard() skip
/* Whatever the peer has done to its words since the last look. */
#define look_at(w, max) select(word : 0 .. max)
#else
inline store(w, v, r)
{
	atomic {
		stores[me].n < BUFFER;
		stores[me].at[stores[me].n].where = w;
		stores[me].at[stores[me].n].what = v;
		stores[me].at[stores[me].n].release = r;
		stores[me].n++;
	}
}
#define fence() stores[me].n == 0
#define next_ticket() ticket++
#define heard() got++
#define look_at(w, max) word = w
#endif

#ifdef NO_FENCE_BEFORE_LOOK
#define notifier_fence() skip
#else
#define notifier_fence() fence()
#endif
#ifdef NO_FENCE_BEFORE_SLEEP
#define sleeper_fence() skip
#else
#define sleeper_fence() fence()
#endif
#ifdef NO_RELEASE
#define RELEASE false
#else
#define RELEASE true
#endif

/* One ring for each sleep of the peer's. */
inline notify(bits)
{
	notifier_fence();
	atomic {
		look_at(asleep[peer], WRAP);
		if
		:: (word & bits) && TICKET(word) != rung_ticket -> rung_ticket = TICKET(word)
		:: else -> word = 0
		fi
	}
	if
	:: word ->
		fence();         /* a system call orders memory */
		atomic { bell[peer] = true; word = 0 }
	:: else
	fi
}

/* Each look is one load; what the peer claims is bounded, then used. */
inline look_at_life()
{
	atomic {
		look_at(life[peer], NONSENSE);
		if
#ifndef NO_CHECK
		:: word == NONSENSE || word < peer_life -> broken = true
#endif
		:: else -> peer_life = word
		fi;
		word = 0
	}
}

inline look_for_data()
{
	atomic {
		look_at(produced[peer], WRAP);
		if
#ifndef NO_CHECK
		:: ((word - seen_produced) & WRAP) > SIZE - ((seen_produced - taken) & WRAP) -> broken = true
#endif
		:: else -> seen_produced = word
		fi;
		word = 0;
		assert(((seen_produced - taken) & WRAP) <= SIZE)
	}
}

inline look_for_room()
{
	atomic {
		look_at(consumed[peer], WRAP);
		if
#ifndef NO_CHECK
		:: ((word - seen_consumed) & WRAP) > ((put - seen_consumed) & WRAP) -> broken = true
#endif
		:: else -> seen_consumed = word
		fi;
		word = 0;
		assert(((put - seen_consumed) & WRAP) <= SIZE)
	}
}

#define have_data (seen_produced != taken)
#define have_room (((put - seen_consumed) & WRAP) < SIZE)
#define peer_reads_no_more (peer_life == CLOSED || gone[peer])
#define peer_writes_no_more (peer_life >= FINISHED || gone[peer])

inline write_a_byte()
{
	look_at_life();
	if
	:: broken || peer_reads_no_more -> wrote_all = true
	:: else ->
		atomic {
			look_for_room();
			if
			:: !broken && have_room ->
				assert(put % SIZE < SIZE);
				store(RING + 2 * me + put % SIZE, said[me] + 1, false);
				put = (put + 1) & WRAP;
				said[me]++;
				store(PRODUCED, put, RELEASE);
				word = true
			:: else
			fi
		}
		if
		:: word -> notify(DATA_BIT)
		:: else
		fi
	fi
}

inline read_a_byte()
{
	look_for_data();
	if
	:: !broken && !have_data ->
		look_at_life();
		if
		:: !broken && peer_writes_no_more ->
#ifndef NO_SECOND_LOOK
			look_for_data();
#endif
			if
			:: !broken && !have_data ->
				read_all = true;
#ifndef HOSTILE
				assert(got == said[peer])    /* all that was committed, however it ended */
#endif
			:: else
			fi
		:: else
		fi
	:: !broken && have_data ->
		atomic {
#ifndef HOSTILE
			assert(ring[2 * peer + taken % SIZE] == got + 1);  /* none lost, repeated or reordered */
#endif
			assert(taken % SIZE < SIZE);
			taken = (taken + 1) & WRAP;
			heard();
			store(CONSUMED, taken, RELEASE)
		}
		notify(ROOM_BIT)
	:: else
	fi
}

/* Says so, looks again, and only then sleeps. */
inline sleep_or_not()
{
	store(SLEEP, (ticket << 2) | (wrote_all -> 0 : ROOM_BIT) | (read_all -> 0 : DATA_BIT), false);
	sleeper_fence();
#ifndef NO_LOOK_BEFORE_SLEEP
	if :: !wrote_all -> look_for_room() :: else fi;
	if :: !read_all -> look_for_data() :: else fi;
	look_at_life();
#endif
	if
	:: broken
	:: !broken && ((!read_all && (have_data || peer_writes_no_more)) ||
		(!wrote_all && (have_room || peer_reads_no_more))) ->
		if
		:: store(SLEEP, 0, false)
#ifdef OTHER_JOB
		:: me == 0           /* it still sleeps */
#endif
		fi
	:: else ->
		if
		:: atomic { bell[me] -> bell[me] = false; next_ticket(); store(SLEEP, 0, false) }
		:: gone[peer]        /* the host raises our event */
		:: atomic { cancels > 0 -> cancels--; store(SLEEP, 0, false) }
		fi
	fi
}

proctype side(byte me; byte to_say)
{
	byte peer = 1 - me;
	byte put = START, taken = START;                     /* private copies of our own indices */
	byte seen_produced = START, seen_consumed = START;   /* what we believe of the peer */
	byte peer_life = 0, rung_ticket = 0, ticket = 1, got = 0, word = 0;
	byte cancels = CANCELS;
	bool wrote_all = false, read_all = false, broken = false;

	store(LIFE, OPEN, true);       /* wakes those who sleep for just that: nobody here */
	do
	:: broken -> break
	:: !broken && wrote_all && read_all -> break
	:: !broken && !wrote_all && said[me] < to_say -> write_a_byte()
	:: !broken && !wrote_all && said[me] == to_say ->
		atomic { wrote_all = true; store(LIFE, FINISHED, true) }
		notify(ANY_BIT)
	:: !broken && !read_all -> read_a_byte()
	:: !broken && !(wrote_all && read_all) -> sleep_or_not()
#ifdef MAY_CLOSE
	:: me == 0 -> break
#endif
#ifdef MAY_DIE
	:: me == 0 -> died[me] = true; goto end
#endif
	od;
#ifndef HOSTILE
	assert(!broken);
#endif
	store(LIFE, CLOSED, true);
	notify(ANY_BIT);
#ifdef MAY_DIE
	if :: me == 0 -> died[me] = true :: else fi;
#endif
end:
	skip
}

#ifndef HOSTILE
/* Makes stores of a side visible. */
proctype memory(byte me)
{
	byte i = 0;
end:
	do
	:: atomic {
		stores[me].n > 0 ->
		if
		:: i = 0
		:: stores[me].n > 1 && !stores[me].at[1].release &&
			stores[me].at[1].where != stores[me].at[0].where -> i = 1
		:: stores[me].n > 2 && !stores[me].at[2].release &&
			stores[me].at[2].where != stores[me].at[0].where &&
			stores[me].at[2].where != stores[me].at[1].where -> i = 2
		fi;
		if
		:: stores[me].at[i].where == PRODUCED -> produced[me] = stores[me].at[i].what
		:: stores[me].at[i].where == CONSUMED -> consumed[me] = stores[me].at[i].what
		:: stores[me].at[i].where == SLEEP -> asleep[me] = stores[me].at[i].what
		:: stores[me].at[i].where == LIFE -> life[me] = stores[me].at[i].what
		:: else -> ring[stores[me].at[i].where - RING] = stores[me].at[i].what
		fi;
		stores[me].n--;
		do
		:: i < stores[me].n ->
			stores[me].at[i].where = stores[me].at[i + 1].where;
			stores[me].at[i].what = stores[me].at[i + 1].what;
			stores[me].at[i].release = stores[me].at[i + 1].release;
			i++
		:: else -> break
		od;
		stores[me].at[i].where = 0;
		stores[me].at[i].what = 0;
		stores[me].at[i].release = false;
		i = 0
	}
	od
}
#else
/* What it writes is chosen where it is looked at; it rings when it likes, and dies. */
proctype chaos()
{
	do
	:: bell[0] = true
	:: died[1] = true; break
	od
}
#endif

#if defined(MAY_DIE) || defined(HOSTILE)
proctype host()
{
end:
	do
	:: atomic { died[0] && !gone[0] && stores[0].n == 0 -> gone[0] = true }
	:: atomic { died[1] && !gone[1] && stores[1].n == 0 -> gone[1] = true }
	od
}
#endif

init
{
	atomic {
		run side(0, BYTES_0);
#ifdef HOSTILE
		run chaos();
		run host();
#else
		run side(1, BYTES_1);
		run memory(0);
		run memory(1);
#ifdef MAY_DIE
		run host();
#endif
#endif
	}
}
