// Keeps the status page fresh: the daemon says which sections have changed, and they are drawn anew.
// Without this file the page shows the same; it is then as old as it says.
"use strict";

const SECTIONS = "summary,work,kept,disks,volumes,trash,looks";
const live = document.getElementById("live");

function say(text, on) {
    live.classList.toggle("on", on);
    if (live.textContent !== text) {
        live.textContent = text;
    }
}

function draw(fresh) {
    const old = document.getElementById(fresh.id);
    // What somebody types in is left alone until the next time.
    if (!old || (old.contains(document.activeElement) && document.activeElement.matches("input"))) {
        return;
    }
    const focused = old.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    for (const opened of old.querySelectorAll("details[open][id]")) {
        const same = fresh.querySelector("#" + CSS.escape(opened.id));
        if (same) {
            same.open = true;
        }
    }
    old.replaceWith(document.adoptNode(fresh));
    if (focused) {
        const again = fresh.querySelector(`a[href="${CSS.escape(focused)}"]`);
        if (again) {
            again.focus();
        }
    }
}

let asking = Promise.resolve();
function refresh(sections) {
    asking = asking.then(async () => {
        const at = new URL(location.href);
        at.hash = "";
        at.searchParams.set("sections", sections);
        const answer = await fetch(at, { cache: "no-store" });
        if (!answer.ok) {
            throw new Error(answer.status);
        }
        const text = await answer.text();
        const page = new DOMParser().parseFromString(text, "text/html");
        for (const fresh of page.querySelectorAll("section[id]")) {
            draw(fresh);
        }
        say("Live", true);
    }).catch(() => say("Not live: the daemon does not answer", false));
}

let slow = null;
const source = new EventSource("/events");
source.onopen = () => refresh(SECTIONS);
source.onmessage = (event) => refresh(event.data);
source.onerror = () => {
    say("Not live: the daemon does not answer", false);
    // Too many look at once: ask from time to time instead.
    if (source.readyState === EventSource.CLOSED && slow === null) {
        slow = setInterval(refresh, 15000, SECTIONS);
        refresh(SECTIONS);
    }
};
