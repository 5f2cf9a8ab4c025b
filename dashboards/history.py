"""Who held each alias when, by whom it was moved and why; and whether anything was changed past the product."""

from __future__ import annotations

import streamlit as st

from controlplane.dashboards import charts, queries, tables, words
from controlplane.store.audit import Broken, Verified

st.title("Alias history")
here = queries.place()
held = queries.tenures(here)
if not held:
    st.info("No alias was looked at yet: `controlplane run` does, and so does each tick of the scheduler.")
    st.stop()
asked = st.query_params.get("alias", "")
names = list(held)
chosen = st.selectbox("Alias", names, index=names.index(asked) if asked in names else 0)
last = held[chosen][-1].holding
st.markdown(
    f"**Version {words.plain(last.version)}** holds {words.plain(chosen)}; "
    f"last looked at {words.local(last.last_seen)}.",
    help=words.utc(last.last_seen),
)
st.altair_chart(charts.tenures(held[chosen]), width="stretch")
st.caption(
    "A registry keeps no history: our own moves are exact, and a move by somebody else lies between two looks at the "
    "alias, the thin part of its bar."
)
rows = [
    {
        "Version": one.holding.version,
        f"Since ({words.zone_name()})": words.local(one.holding.since),
        "Not before": words.local(one.unsure_since) if one.unsure_since and one.action is None else "",
        "Moved by": one.moved_by or "first look",
        "State": one.action.state if one.action else "",
        "Why": one.why,
        "On what evidence": "; ".join(one.proof) or "-",
        "Action": one.holding.action_id or "",
    }
    for one in reversed(held[chosen])
]
st.dataframe(
    tables.coloured(rows, "State"),
    hide_index=True,
    column_config={
        "Why": st.column_config.TextColumn(width="medium"),
        "On what evidence": st.column_config.TextColumn(width="large"),
    },
)

st.subheader("The chain")
st.caption(
    "Every intent, action, proof, alias move, freeze and evidence row is linked to the one before it, so that whatever "
    "is edited, removed, inserted or reordered in the database past the product is found."
)
head = queries.head(here)
if head is None:
    st.info("The chain is empty.")
    st.stop()
st.markdown(f"**{words.count(head.sequence + 1)}** links. Its head, to keep where nobody who writes this database can:")
st.code(str(head), language=None)
if st.button("Verify it now", icon=":material/verified_user:"):
    with st.spinner("Reading the chain and every row under it"):
        st.session_state["audit"] = queries.audit(here)
match st.session_state.get("audit"):
    case Verified() as found:
        st.success(words.plain(words.sentence(found.why)), icon=":material/verified_user:")
    case Broken() as found:
        st.error(words.plain(words.sentence(found.why)), icon=":material/gpp_bad:")
