/* spec/switch.pml — the switch, as a model that spin goes through to its last state.
 *
 * Two sides, 0 (source) and 1 (target). Each has its own row of authority (epoch, side, attempt) and its fence. The side
 * a row names is the parity of its epoch: switches alternate. A switch moves the authority from `old` to `new`:
 *
 *   pilot   GATE -> HOLD -> LOCK -> MARK -> DRAIN -> CHECK -> DECIDE -> OPEN -> RELEASE (-> DENY) -> GATE (the way back)
 *             ^       |       |       |       |        |        | 0 rows   | annulled
 *             |       +-------+-------+-------+--------+--------+          v
 *             |                       v            unknown -------> SETTLE: whoever does not know
 *             +---- RELEASE <---- ABORT: own compare-and-set a -> a+1
 *
 *   door    RUN at a side -> HOLD -> RUN, told by the pilot
 *             ^                 |  deadline, or the door died and is there again
 *             +---- SETTLE <----+
 *
 *   row of old, fence of old     (e, old, a) open  --L commits-->  (e+1, new, a) closed
 *   row of new, fence of new     (e, old, a) closed --leat.open--> (e+1, new, a) open
 *
 * Invariants (asserted; spin says the name)
 *  I1  A client commits only on a side whose own row names it, and the other side's fence is closed then. [never two writable]
 *  I2  What opens holds every commit that was acknowledged on the side that closed. [no acknowledged write lost]
 *  I3  When nothing can move any more: one side is named by its own row, its fence is open, the other's closed, every
 *      door forwards to it, L is gone, and it holds every acknowledged write of the other.
 *  I4  A door never forwards to a closed side: no client of a door is refused.
 *  I5  Two doors never forward to two sides.
 *  I6  Every run ends: there is no cycle (rows "ends" of tools/check-model).
 *
 * What moves by itself (Env): clients that bypass the doors, the stream, the flush of what it applied, the server that
 * carries out a COMMIT that was sent, whether or not somebody still listens, the standby. What goes wrong costs one of FAULTS:
 * pilot or door die at any statement; a server crashes (committed state stays, sessions die, what was applied and not
 * flushed is gone); a session is lost; an answer is lost; the source fails over to a standby that lacks the last
 * commits. How long something is down is how long the others run meanwhile, so it needs no state. Deadlines cost nothing: any
 * step of the pilot may give up, any door that holds may stop waiting, at any time.
 *
 * Sizes: DOORS, SWITCHES, FAULTS, TRIES (attempts in all), WRITES (client commits a side). FAILOVER gives side 0 a standby
 * that authority rows wait for (synchronous_commit = on); CONSENT is one they do not wait for, and nobody bypasses the doors.
 * Mutants: see README.md.
 */
#ifndef DOORS
#define DOORS 1
#endif
#ifndef SWITCHES
#define SWITCHES 2
#endif
#ifndef FAULTS
#define FAULTS 1
#endif
#ifndef TRIES
#define TRIES SWITCHES
#endif
#ifndef WRITES
#define WRITES 1
#endif
#ifdef CONSENT
#define FAILOVER
#endif

/* ---- the two sides: committed state ---- */
byte epoch[2], attempt[2]; /* the row of authority, private to leat */
bit fence[2];              /* 1: closed for everybody but leat */
byte acked[2];             /* client commits acknowledged on this side */
byte applied[2];           /* of the other side's, applied here */
byte kept[2];              /* ... and flushed: lanes commit with synchronous_commit = off */
#define OWN(s) ((epoch[s] & 1) == (s)) /* its own row names it */
#define SERVES(s) (OWN(s) && epoch[s] >= epoch[1 - (s)]) /* the highest epoch whose own side confirms */
#define DECIDED(s) (!OWN(s) && epoch[s] > epoch[1 - (s)]) /* its row names the other, which is not open yet */

/* ---- L, the session that locks and decides ---- */
#define NONE 0
#define HELD 1       /* every relation locked: nobody else commits on L_side */
#define COMMITTING 2 /* COMMIT is sent; the server will carry it out unless the session dies before */
#define UPDATED 3    /* mutant FENCE_OUTSIDE: the row is committed, the locks are gone, the fence is not there yet */
byte L;
bit L_side;
byte L_epoch, L_attempt;
bit L_orphan;       /* its pilot died or lost it: the server frees it, in its own time */
byte L_answer;      /* what the pilot heard of COMMIT */
#define SILENT 0
#define ONE_ROW 1
#define NO_ROW 2
#define LOCKED(s) (L == HELD && L_side == (s) || L == COMMITTING && L_side == (s))

/* ---- the standby of side 0, and the timeline ---- */
#ifdef FAILOVER
byte copy_epoch, copy_attempt, copy_acked, copy_applied;
bit copy_fence = 0;
bit promoted;       /* side 0 is on another timeline than the one recorded in both rows at the gate */
#define PROMOTED(s) ((s) == 0 && promoted)
#else
#define PROMOTED(s) false
#endif
#if defined(FAILOVER) && !defined(CONSENT)
/* A synchronous commit returned: the standby has this row, and all before it. */
#define CONFIRMED(s) ((s) == 1 || promoted || copy_epoch == epoch[0] && copy_attempt == attempt[0] && copy_fence == fence[0])
#define REPLICATED(s, n) ((s) == 1 || copy_applied >= n)
#else
#define CONFIRMED(s) true
#define REPLICATED(s, n) true
#endif
#ifdef READ_UNCONFIRMED
#define READ_CONFIRMED(s) true
#else
#define READ_CONFIRMED(s) CONFIRMED(s)
#endif

/* ---- between pilot and doors: the last word to each door, and what the pilot believes ---- */
#define NO_WORD 0
#define ASK_HOLD 1
#define GO(s) (2 + (s))
byte word[DOORS];
bit held[DOORS];    /* the pilot was told so; it may be true no longer */
#define HOLDING 2
byte door[DOORS];   /* the side it forwards to, or HOLDING */
bit kill_door[DOORS], kill_pilot;

byte faults = FAULTS, tries = TRIES, marked;
bit finished;       /* the pilot has nothing left to do, or died for good */
#define ANSWER_IS_LOST faults > 0 -> faults--

#define LAST (DOORS - 1)
#if DOORS == 2
#define ALL_HELD (held[0] && held[1])
#define NOBODY_AT(s) (door[0] != (s) && door[1] != (s))
#define TELL(w) word[0] = w; word[1] = w
#define ALL_AT(s) (door[0] == (s) && door[1] == (s))
#define FORGET_HELD held[0] = 0; held[1] = 0
#else
#define ALL_HELD held[0]
#define NOBODY_AT(s) (door[0] != (s))
#define TELL(w) word[0] = w
#define ALL_AT(s) (door[0] == (s))
#define FORGET_HELD held[0] = 0
#endif

hidden byte I1, I2, I3, I4, I5, witness; /* never set: they only put an invariant's name into what spin says */

/* After every change of a fence or of a door. */
inline check()
{
    assert(I5 || NOBODY_AT(0) || NOBODY_AT(1));
    assert(I4 || (!fence[0] || NOBODY_AT(0)) && (!fence[1] || NOBODY_AT(1)));
}

inline let_go_of_L()
{
    L = NONE; L_side = 0; L_epoch = 0; L_attempt = 0; L_orphan = 0
}

/* leat.open(e): row and fence in one transaction, conditional on epoch and attempt. */
inline open_side(THIS, UP, TRY)
{
    if
#ifdef OPEN_ANY_ATTEMPT
    :: epoch[THIS] + 1 == UP ->
#else
    :: epoch[THIS] + 1 == UP && attempt[THIS] == TRY ->
#endif
        epoch[THIS] = UP;
        fence[THIS] = 0;
        assert(I2 || applied[THIS] >= acked[1 - THIS]);
        check()
    :: else
    fi
}

/* What a pilot or a door does that does not know what became of an attempt (a, the deadline, a death): where its own
 * compare-and-set succeeds, there the authority is, and no attempt that was under way can take it from there any more.
 * Leaves s: a side that serves (bumped), or `decided`: the side whose row hands over, (e, a) what its row says. */
inline find_authority()
{
    atomic {
        decided = 0;
        if
        :: SERVES(0) -> s = 0
        :: SERVES(1) -> s = 1
        :: DECIDED(0) -> s = 0; decided = 1
        :: DECIDED(1) -> s = 1; decided = 1
        fi;
        seen = PROMOTED(s);
        if
        :: decided -> e = epoch[s]; a = attempt[s]
#ifndef NO_ARBITER
        :: !decided && seen && epoch[1 - s] == epoch[s] -> attempt[1 - s]++ /* another timeline: the new side arbitrates */
#endif
        :: else
        fi
    }
}

inline compare_and_set()
{
    attempt[s]++ /* read, and set if it still is what was read; again if not */
}

/* ---- the pilot, and the one that follows it when it dies ---- */
proctype Pilot()
{
    byte e, a;
    bit old, new, s, seen, decided;

start:
    {
        goto SETTLE;

    SETTLE: /* a pilot that starts, or does not know */
        find_authority();
        if
        :: decided ->
            old = s;
            new = 1 - s;
            e = e - 1;
            atomic {
                READ_CONFIRMED(old); /* what is read counts once the standby has it, too */
                if
                :: PROMOTED(old) != seen -> goto SETTLE
                :: else -> goto OPEN
                fi
            }
        :: else
        fi;
        atomic {
            if
            :: OWN(s) && PROMOTED(s) == seen ->
#ifndef PILOT_READS
                compare_and_set()
#endif
            :: else -> goto SETTLE
            fi
        };
        atomic {
            CONFIRMED(s);
            if
            :: PROMOTED(s) != seen -> goto SETTLE
            :: else -> TELL(GO(s))
            fi
        };

    GATE: /* both rows say (e, old); the new side takes the old one's attempt; timelines as recorded; the new side is fenced */
        atomic {
            if
            :: tries > 0 && epoch[0] == epoch[1] && epoch[0] < SWITCHES && !PROMOTED(0) ->
                tries--;
                e = epoch[0];
                old = e & 1;
                new = 1 - old;
                a = attempt[old];
                s = 0; seen = 0; decided = 0
            :: else -> goto END
            fi
        };
        atomic {
            if
            :: epoch[new] == e && !PROMOTED(new) -> attempt[new] = a
            :: else -> goto SETTLE
            fi
        };
        if
#ifdef GATE_UNCONFIRMED
        :: CONFIRMED(new)
#else
        :: CONFIRMED(new) && !PROMOTED(new) /* else the decision could never be opened */
#endif
        :: goto ABORT
        fi;

    HOLD: /* every door stops at a boundary and acknowledges (e, a) */
        atomic { FORGET_HELD; TELL(ASK_HOLD) };
        if
        :: ALL_HELD
        :: goto ABORT
        fi;

    LOCK: /* one transaction, every relation, on the timeline of the gate */
        atomic {
            if
            :: L == NONE && !PROMOTED(old) -> L = HELD; L_side = old; L_epoch = e; L_attempt = a; L_answer = SILENT
            :: goto ABORT
            fi
        };

    MARK: /* committed by a second session, which cannot know whether L still stands */
        atomic {
            if
            :: !PROMOTED(old) -> marked = acked[old]
            :: else -> goto ABORT
            fi
        };

    DRAIN: /* the mark is applied on the new side, and durable there */
        atomic {
            if
#ifdef DRAIN_VOLATILE
            :: applied[new] >= marked
#else
            :: kept[new] >= marked && REPLICATED(new, marked)
#endif
            :: goto ABORT
            fi;
            marked = 0
        };

    CHECK: /* under the lock; a rehearsal ends here, the way every other failure does */
        if
        :: L == HELD
        :: goto ABORT
        fi;

    DECIDE: /* in L itself: compare-and-set, fence, COMMIT; the server carries it out (Env) */
        atomic {
            if
#ifdef DECIDE_OUTSIDE
            :: !PROMOTED(old) ->
                if
                :: epoch[old] == e && attempt[old] == a -> epoch[old] = e + 1; fence[old] = 1; L_answer = ONE_ROW; check()
                :: else -> L_answer = NO_ROW
                fi;
                if
                :: L == HELD -> let_go_of_L()
                :: else
                fi
#else
            :: L == HELD -> L = COMMITTING
            :: L != HELD -> goto ABORT
#endif
            :: goto ABORT
            fi
        };
        atomic {
            if
            :: L_answer == ONE_ROW && CONFIRMED(old) ->
                L_answer = SILENT;
                if
                :: PROMOTED(old) -> goto SETTLE
                :: else
                fi
            :: L_answer == NO_ROW -> goto ABORT
            :: L == NONE && L_answer == SILENT -> goto ABORT /* the session died: unknown */
            :: ANSWER_IS_LOST; goto ABORT                    /* unknown, and COMMIT may be on its way */
            fi
        };

    OPEN: /* idempotent, tried again until it is known */
        atomic { open_side(new, (e + 1), a) };
        atomic {
            CONFIRMED(new);
            if
            :: epoch[new] > e
            :: epoch[new] == e && attempt[new] == a -> goto OPEN /* it failed over before the standby had it */
            :: else -> goto SETTLE                                /* annulled: the old side failed over */
            fi
        };

    RELEASE: /* every door that holds goes to the new side; DENY comes after it and changes nothing of this */
        atomic { TELL(GO(new)) };
        goto GATE;

    ABORT: /* roll back L, or leave it to the server; the attempt is over once a compare-and-set says so */
        atomic {
            L_answer = SILENT;
            marked = 0;
            e = 0; a = 0; old = 0; new = 0;
            if
            :: L == HELD && !L_orphan -> let_go_of_L()
            :: L == COMMITTING -> L_orphan = 1
            :: else
            fi
        };
        goto SETTLE;

    END:
        atomic { finished = 1; e = 0; a = 0; old = 0; new = 0; s = 0; seen = 0; decided = 0 };
        goto end_pilot
    }
    unless
    {
        atomic {
            kill_pilot;
            kill_pilot = 0;
            L_answer = SILENT; marked = 0;
            e = 0; a = 0; old = 0; new = 0; s = 0; seen = 0; decided = 0;
            if
            :: L != NONE -> L_orphan = 1
            :: else
            fi;
            if
            :: goto start /* a successor */
            :: finished = 1
            fi
        }
    };
end_pilot:
    false
}

/* ---- a door ---- */
proctype Door(bit d)
{
    byte e, a;
    bit s, seen, decided;

start:
    {
        if
        :: door[d] == HOLDING -> goto SETTLE /* it died and is there again: it knows nothing, and forwards nothing */
        :: else
        fi;

    end_RUN:
        do
        :: atomic { word[d] == ASK_HOLD -> word[d] = NO_WORD; door[d] = HOLDING; held[d] = 1; break }
        :: atomic { word[d] > ASK_HOLD -> word[d] = NO_WORD }
        od;

    HOLD:
        atomic {
            if
            :: word[d] > ASK_HOLD -> door[d] = word[d] - GO(0); word[d] = NO_WORD; check(); goto end_RUN /* RELEASE */
            :: word[d] == ASK_HOLD -> word[d] = NO_WORD; held[d] = 1; goto HOLD
            :: goto SETTLE /* the deadline */
            fi
        };

    SETTLE:
        atomic {
            if
            :: word[d] == ASK_HOLD -> word[d] = NO_WORD; held[d] = 1; goto HOLD
            :: word[d] != ASK_HOLD && (SERVES(0) || SERVES(1))
#ifndef DOORS_CANNOT_OPEN
            :: word[d] != ASK_HOLD && (DECIDED(0) || DECIDED(1))
#endif
            fi
        };
        find_authority();
        if
        :: decided ->
            atomic {
                READ_CONFIRMED(s);
                if
                :: PROMOTED(s) != seen -> goto SETTLE
                :: else
                fi
            };
        OPEN:
            atomic { open_side((1 - s), e, a); s = 1 - s; e = 0; a = 0; decided = 0 };
            atomic { CONFIRMED(s); s = 0; seen = 0; goto SETTLE }
        :: else
        fi;
        atomic {
            if
            :: OWN(s) && PROMOTED(s) == seen ->
#ifndef DOOR_READS
                compare_and_set()
#endif
            :: else -> goto SETTLE
            fi
        };
        atomic {
            if
            :: CONFIRMED(s) && PROMOTED(s) == seen && word[d] != ASK_HOLD ->
                door[d] = s; s = 0; seen = 0; check(); goto end_RUN /* RELEASE, by its own compare-and-set */
            :: PROMOTED(s) != seen || word[d] == ASK_HOLD -> s = 0; seen = 0; goto SETTLE
            :: ANSWER_IS_LOST; s = 0; seen = 0; goto SETTLE
            fi
        }
    }
    unless
    {
        atomic { kill_door[d]; kill_door[d] = 0; word[d] = NO_WORD; e = 0; a = 0; s = 0; seen = 0; decided = 0; goto start }
    }
}

/* ---- everything that moves by itself, and everything that goes wrong ---- */
#if defined(CONSENT) && !defined(CONSENT_BYPASSED)
#define CLIENT_AT(s) (!NOBODY_AT(s))
#define ONLY_HERE(s) NOBODY_AT(1 - (s))
#else
#define CLIENT_AT(s) true /* they bypass the doors, on both sides, whenever they like */
#define ONLY_HERE(s) (OWN(s) && fence[1 - (s)])
#endif
#ifdef FAILOVER
#define STREAMS !promoted /* armed again before another switch: the gate refuses until then */
#else
#define STREAMS true
#endif

inline client(WHO)
{
    atomic {
        CLIENT_AT(WHO) && !fence[WHO] && !LOCKED(WHO) && acked[WHO] < WRITES ->
        acked[WHO]++;
        assert(I1 || ONLY_HERE(WHO))
    }
}

inline stream_to(WHO)
{
    d_step { STREAMS && applied[WHO] < acked[1 - (WHO)] -> applied[WHO]++ }
}

inline flush(WHO)
{
    d_step { kept[WHO] != applied[WHO] -> kept[WHO] = applied[WHO] }
}

inline crash(WHO)
{
    d_step {
        faults > 0 && (L != NONE && L_side == WHO || kept[WHO] != applied[WHO]) ->
        faults--;
        applied[WHO] = kept[WHO];
        if
        :: L != NONE && L_side == WHO -> let_go_of_L()
        :: else
        fi
    }
}

inline end_of_run()
{
    assert(I3 || L == NONE);
    assert(I3 || SERVES(0) || SERVES(1));
    if
    :: SERVES(0) -> assert(I3 || !fence[0] && ALL_AT(0) && applied[0] >= acked[1])
    :: else -> assert(I3 || !fence[1] && ALL_AT(1) && applied[1] >= acked[0])
    fi;
#ifndef CONSENT
    assert(I3 || fence[0] != fence[1]);
#endif
#ifdef WITNESS
    assert(witness || !(WITNESS)); /* proves that this end is reached: it must be "violated" */
#endif
}

proctype Env()
{
end_env:
    do
    :: client(0)
    :: client(1)
    :: stream_to(0)
    :: stream_to(1)
    :: flush(0)
    :: flush(1)

    /* the server of L */
    :: atomic {
        L == COMMITTING ->
        if
        :: epoch[L_side] == L_epoch && attempt[L_side] == L_attempt ->
            epoch[L_side] = L_epoch + 1;
#ifdef FENCE_OUTSIDE
            L = UPDATED
#else
            fence[L_side] = 1;
            check();
            L_answer = (L_orphan -> SILENT : ONE_ROW);
            let_go_of_L()
#endif
        :: else ->
            L_answer = (L_orphan -> SILENT : NO_ROW);
            let_go_of_L()
        fi
    }
#ifdef FENCE_OUTSIDE
    :: atomic { L == UPDATED -> fence[L_side] = 1; check(); L_answer = (L_orphan -> SILENT : ONE_ROW); let_go_of_L() }
#endif
    :: d_step { L == HELD && L_orphan -> let_go_of_L() } /* its own time-out, keepalives */

    /* faults */
    :: d_step { faults > 0 && !finished && !kill_pilot -> faults--; kill_pilot = 1 }
    :: d_step { faults > 0 && !kill_door[0] -> faults--; kill_door[0] = 1; door[0] = HOLDING }
#if DOORS == 2
    :: d_step { faults > 0 && !kill_door[1] -> faults--; kill_door[1] = 1; door[1] = HOLDING }
#endif
    :: crash(0)
    :: crash(1)
    :: d_step { faults > 0 && (L == HELD || L == COMMITTING) && !L_orphan -> faults--; let_go_of_L() }
#ifdef FAILOVER
    :: d_step {
        !promoted && (copy_epoch != epoch[0] || copy_attempt != attempt[0] || copy_fence != fence[0] ||
            copy_acked != acked[0] || copy_applied != applied[0] || kept[0] != applied[0]) ->
        copy_epoch = epoch[0]; copy_attempt = attempt[0]; copy_fence = fence[0]; copy_acked = acked[0];
        copy_applied = applied[0]; kept[0] = applied[0] /* only what is flushed is sent */
    }
    :: atomic {
        faults > 0 && !promoted ->
        faults--;
        promoted = 1;
        epoch[0] = copy_epoch; attempt[0] = copy_attempt; fence[0] = copy_fence; acked[0] = copy_acked;
        applied[0] = copy_applied; kept[0] = copy_applied;
        copy_epoch = 0; copy_attempt = 0; copy_fence = 0; copy_acked = 0; copy_applied = 0;
        if
        :: L != NONE && L_side == 0 -> let_go_of_L()
        :: else
        fi;
        check()
    }
#endif
    :: atomic { timeout -> end_of_run(); break }
    od
}

init
{
    atomic {
#ifndef TARGET_UNFENCED
        fence[1] = 1;
#endif
        run Env();
        run Pilot();
        run Door(0);
#if DOORS == 2
        run Door(1)
#endif
    }
}
