//! Which lanes and groups are on the screen, in which order.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::Model;
use crate::page::Row;

/// Groups with more lanes than this are folded to begin with.
const FOLD_ABOVE: usize = 16;

/// The order of lanes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// By number: the order in which they were started.
    #[default]
    Number,
    /// By name.
    Name,
    /// Those that began first.
    Born,
    /// Those that waited longest.
    Waiting,
    /// Those with most records.
    Records,
}

impl Sort {
    /// The next order.
    #[must_use]
    pub fn next(self) -> Self {
        match self {
            Self::Number => Self::Name,
            Self::Name => Self::Born,
            Self::Born => Self::Waiting,
            Self::Waiting => Self::Records,
            Self::Records => Self::Number,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Name => "name",
            Self::Born => "beginning",
            Self::Waiting => "waiting",
            Self::Records => "activity",
        }
    }
}

impl Model {
    /// Folds the large groups: what a log is opened with.
    pub(crate) fn fold_large_groups(&mut self) {
        let groups = self.lanes.groups.iter().enumerate();
        let large = groups.filter(|(_, group)| group.lanes.len() > FOLD_ABOVE);
        self.folded = large.map(|(number, _)| number).collect();
    }

    /// Works out the rows anew. The selection stays on its lane, or goes to the lane's group.
    pub(crate) fn arrange(&mut self) {
        let selected = self.row();
        let lane = self.lane();
        let mut rows: Vec<Row> = self.pinned.iter().map(|&lane| Row::Lane(lane)).collect();
        let matching: Option<BTreeSet<usize>> = self
            .matches()
            .filter(|_| self.only_matches)
            .map(|matches| matches.hits.iter().map(|hit| hit.lane).collect());
        let is_shown = |lane: &usize| {
            !self.pinned.contains(lane)
                && matching.as_ref().is_none_or(|matching| matching.contains(lane))
        };
        let mut groups: Vec<(usize, Vec<usize>)> = Vec::new();
        for (number, group) in self.lanes.groups.iter().enumerate() {
            let mut lanes: Vec<usize> = group.lanes.iter().copied().filter(is_shown).collect();
            self.sort_lanes(&mut lanes);
            if !lanes.is_empty() {
                groups.push((number, lanes));
            }
        }
        let firsts: Vec<usize> = groups.iter().map(|(_, lanes)| lanes[0]).collect();
        let mut order = firsts.clone();
        self.sort_lanes(&mut order);
        for first in order {
            let Some(place) = firsts.iter().position(|&other| other == first) else { continue };
            let (number, lanes) = &groups[place];
            let has_header = self.lanes.groups[*number].lanes.len() > 1;
            if has_header {
                rows.push(Row::Group(*number));
            }
            if !has_header || !self.folded.contains(number) {
                rows.extend(lanes.iter().map(|&lane| Row::Lane(lane)));
            }
        }
        self.rows = Arc::new(rows);
        let same = selected.and_then(|row| self.rows.iter().position(|&other| other == row));
        match (same, lane) {
            (Some(place), _) => self.selected = place,
            (None, Some(lane)) => self.select_lane(lane),
            (None, None) => self.selected = 0,
        }
        self.keep_in_view();
    }

    fn sort_lanes(&self, lanes: &mut [usize]) {
        let facts = &self.lanes.lanes;
        match self.sort {
            Sort::Number => lanes.sort_unstable(),
            Sort::Name => lanes.sort_by(|&a, &b| {
                let name = |lane: usize| {
                    let name = facts[lane].name.as_str();
                    name.split_once(' ').map_or("", |(_, name)| name)
                };
                (name(a), a).cmp(&(name(b), b))
            }),
            Sort::Born => lanes.sort_by_key(|&lane| (facts[lane].born_ns, lane)),
            Sort::Waiting => lanes.sort_by_key(|&lane| (Reverse(facts[lane].waiting_ns), lane)),
            Sort::Records => lanes.sort_by_key(|&lane| (Reverse(facts[lane].records), lane)),
        }
    }

    /// Selects a lane, or the folded group that it is in.
    pub(crate) fn select_lane(&mut self, lane: usize) {
        let group = self.lanes.lanes.get(lane).map(|facts| facts.group);
        let place = self.rows.iter().position(|&row| row == Row::Lane(lane));
        let place = place.or_else(|| {
            let group = group?;
            self.rows.iter().position(|&row| row == Row::Group(group))
        });
        if let Some(place) = place {
            self.selected = place;
        }
        self.keep_in_view();
    }

    /// Selects a lane, unfolding its group if it has to.
    pub(crate) fn reveal_lane(&mut self, lane: usize) {
        let group = self.lanes.lanes.get(lane).map(|facts| facts.group);
        let is_hidden = !self.rows.contains(&Row::Lane(lane));
        if is_hidden {
            if let Some(group) = group {
                self.folded.remove(&group);
            }
            if !self.pinned.contains(&lane) {
                self.only_matches = false;
            }
            self.arrange();
        }
        self.select_lane(lane);
    }

    /// Scrolls until the selected row is on the screen.
    pub(crate) fn keep_in_view(&mut self) {
        self.selected = self.selected.min(self.rows.len().saturating_sub(1));
        let height = usize::from(self.layout().lanes.height).max(1);
        self.top = self.top.min(self.rows.len().saturating_sub(height));
        if self.selected < self.top {
            self.top = self.selected;
        } else if self.selected >= self.top + height {
            self.top = self.selected + 1 - height;
        }
    }
}
